package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Given is what the program, or a test that starts a broker of its own, is configured with, apart from the environment.
type Given struct {
	// Own are the program's own settings by their flags' names, each as it would be given as a flag.
	Own map[string][]string
	// Kafka are broker properties, as with --set.
	Kafka map[string]string
}

// New makes a Config of what is given alone: no environment and no file is read. Errors name the setting and what is allowed.
func New(g Given) (*Config, error) {
	b := newBuilder()
	for name, values := range g.Own {
		if !slices.ContainsFunc(ownSettings, func(o ownSetting) bool { return o.name == name && !o.hidden }) {
			return nil, fmt.Errorf("there is no setting %q", name)
		}
		b.own[name] = ownValue{values: values, origin: Origin{FromFlag, "--" + name}}
	}
	for name, value := range g.Kafka {
		b.add(Setting{Name: name, Value: value, Origin: Origin{FromFlag, "--set"}})
	}
	return b.build()
}

// builder collects settings in the order of their precedence and makes a Config of them.
type builder struct {
	own       map[string]ownValue
	kafka     map[string]Setting
	clusterID ownValue
	unknown   []string
	// listenFrom and advertiseFrom say where the listeners and what is advertised come from in the end.
	listenFrom, advertiseFrom Origin
}

func newBuilder() *builder {
	b := &builder{own: map[string]ownValue{}, kafka: map[string]Setting{}}
	for _, o := range ownSettings {
		if o.fallback != "" {
			b.own[o.name] = ownValue{values: []string{o.fallback}}
		}
	}
	return b
}

// add puts a property over what there is of lower or the same precedence.
func (b *builder) add(s Setting) {
	if before, ok := b.kafka[s.Name]; !ok || before.Origin.Kind <= s.Origin.Kind {
		b.kafka[s.Name] = s
	}
}

// get gives a property that was set. One that is empty counts as not set where Kafka's default is null.
func (b *builder) get(name string) (Setting, bool) {
	s, ok := b.kafka[name]
	return s, ok && trim(s.Value) != ""
}

func (b *builder) build() (*Config, error) {
	c := &Config{own: b.own}
	profile, err := b.own[ownProfile].oneOf(ownProfile, string(ProfileDev), string(ProfileProduction))
	if err != nil {
		return nil, err
	}
	c.Profile = Profile(profile)
	c.ClampReplicas, c.AdvertisedAtRunTime = c.Profile == ProfileDev, c.Profile == ProfileDev
	if err := b.ownFields(c); err != nil {
		return nil, err
	}
	if err := b.checkProperties(); err != nil {
		return nil, err
	}
	if err := b.singleNode(); err != nil {
		return nil, err
	}
	if err := b.nodeID(c); err != nil {
		return nil, err
	}
	if err := b.dataDir(c); err != nil {
		return nil, err
	}
	if c.Listeners, err = b.resolveListeners(); err != nil {
		return nil, err
	}
	if c.ClusterID, err = b.cluster(); err != nil {
		return nil, err
	}
	return c, b.static(c)
}

// ownFields reads the program's own settings that stand for themselves.
func (b *builder) ownFields(c *Config) (err error) {
	if c.HTTP, err = b.own[ownHTTP].httpAddress(); err != nil {
		return err
	}
	if c.LogLevel, err = b.own[ownLogLevel].level(); err != nil {
		return err
	}
	format, err := b.own[ownLogFormat].oneOf(ownLogFormat, string(LogText), string(LogJSON))
	if err != nil {
		return err
	}
	c.LogFormat = LogFormat(format)
	if c.Topics, err = b.own[ownTopic].topics(); err != nil {
		return err
	}
	if _, given := b.own[ownDurability]; !given {
		v := ownValue{values: []string{string(DurabilityOS)}, origin: Origin{FromProfile, string(c.Profile)}}
		if c.Profile == ProfileProduction {
			v.values[0] = string(DurabilityFsync)
		}
		b.own[ownDurability] = v
	}
	durability, err := b.own[ownDurability].oneOf(ownDurability, string(DurabilityOS), string(DurabilityFsync))
	if err != nil {
		return err
	}
	c.Durability = Durability(durability)
	if v, given := b.own[ownMemoryBudget]; given {
		c.MemoryBudget, err = v.memoryBudget()
		return err
	}
	if limit, _ := MachineMemory(); limit > 0 {
		c.MemoryBudget = max(limit/2, MinMemoryBudget)
		b.own[ownMemoryBudget] = ownValue{values: []string{strconv.FormatInt(c.MemoryBudget, 10)}}
	}
	return nil
}

// checkProperties looks that all properties exist and have values that are allowed. An empty value for what is null by default counts as not set.
func (b *builder) checkProperties() error {
	for _, name := range sortedKeys(b.kafka) {
		s := b.kafka[name]
		k, ok := Lookup(Broker, name)
		switch {
		case !ok && withoutMeaning(name):
		case !ok || k.DynamicOnly:
			return unknownProperty(s)
		case !k.HasDefault && trim(s.Value) == "":
			delete(b.kafka, name)
		default:
			if err := k.Check(s.Value); err != nil {
				return badProperty(k, s, err)
			}
		}
	}
	return nil
}

// singleNode refuses what only makes sense in a cluster of several nodes, which this version can't form.
func (b *builder) singleNode() error {
	if s, set := b.get("process.roles"); set && !slices.Contains(SplitList(s.Value), "broker") {
		return propertyProblem(s)("the node would be a controller only (allowed: broker,controller)")
	}
	if s, set := b.get("controller.quorum.voters"); set && len(SplitList(s.Value)) > 1 {
		return propertyProblem(s)("%d voters (allowed: one, since this version runs one node)", len(SplitList(s.Value)))
	}
	if s, set := b.get("authorizer.class.name"); set {
		return propertyProblem(s)("access can't be restricted by this version (allowed: empty)")
	}
	return nil
}

// nodeID takes --node-id, node.id or broker.id, whichever stands highest.
func (b *builder) nodeID(c *Config) error {
	v := b.own[ownNodeID]
	for _, name := range []string{"node.id", "broker.id"} {
		s, set := b.get(name)
		if !set || (name == "broker.id" && trim(s.Value) == "-1") {
			continue
		}
		if s.Origin.Kind == v.origin.Kind && trim(s.Value) != trim(v.joined()) {
			return propertyProblem(s)("it is %s, but %s says %s (allowed: the same)", s.Value, v.origin, v.joined())
		}
		if s.Origin.Kind > v.origin.Kind {
			v = ownValue{values: []string{trim(s.Value)}, origin: s.Origin}
		}
	}
	n, err := strconv.ParseInt(trim(v.joined()), 10, 32)
	if err != nil || n < 0 {
		return v.problem(ownNodeID, "%q is not a node's number (allowed: 0 to 2147483647)", v.joined())
	}
	c.NodeID = int32(n)
	b.own[ownNodeID] = v
	for _, name := range []string{"node.id", "broker.id"} {
		b.kafka[name] = Setting{Name: name, Value: strconv.FormatInt(n, 10), Origin: v.origin}
	}
	return nil
}

// dataDir takes --data-dir, or log.dirs or log.dir where those stand higher. In a container image KBROKER_DATA_DIR is set, so that a
// compose file's KAFKA_LOG_DIRS doesn't lead to a folder that isn't there.
func (b *builder) dataDir(c *Config) error {
	v := b.own[ownDataDir]
	for _, name := range []string{"log.dirs", "log.dir"} {
		s, set := b.get(name)
		if !set || s.Origin.Kind <= v.origin.Kind {
			continue
		}
		v = ownValue{values: SplitList(s.Value), origin: s.Origin}
		break
	}
	if len(v.values) == 0 {
		v.values = []string{""}
	}
	for i, dir := range v.values {
		switch {
		case strings.TrimSpace(dir) == "":
			return v.problem(ownDataDir, "it is empty (allowed: a path or %s)", MemoryDataDir)
		case dir == "memory" || strings.HasPrefix(dir, MemoryDataDir) && (dir != MemoryDataDir || len(v.values) > 1):
			return v.problem(ownDataDir, "%q is no path (allowed: a path, or %s alone)", dir, MemoryDataDir)
		case slices.Contains(v.values[:i], dir):
			return v.problem(ownDataDir, "the directory %q is there twice", dir)
		}
	}
	c.DataDirs = v.values
	b.own[ownDataDir] = v
	shown := slices.Clone(c.DataDirs)
	if !c.InMemory() {
		for i := range shown {
			if abs, err := filepath.Abs(shown[i]); err == nil {
				shown[i] = abs
			}
		}
		if s, set := b.get("metadata.log.dir"); set {
			c.MetadataDir = trim(s.Value)
		}
	}
	b.kafka["log.dirs"] = Setting{Name: "log.dirs", Value: strings.Join(shown, ","), Origin: v.origin}
	return nil
}

var clusterIDPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (b *builder) cluster() (string, error) {
	if len(b.clusterID.values) == 0 {
		return "", nil
	}
	id := b.clusterID.joined()
	if !clusterIDPattern.MatchString(id) {
		return "", b.clusterID.problem("", "%q is not a cluster's id (allowed: 1 to 64 letters, digits, '_' and '-')", id)
	}
	return id, nil
}

// static makes the broker's static properties, checks what must fit together, and finds what has no meaning here.
func (b *builder) static(c *Config) error {
	for name := range b.kafka {
		if k, ok := Lookup(Broker, name); !ok || (!k.Effect && !c.ownsProperty(name)) {
			c.Ignored = append(c.Ignored, name)
			if !ok {
				delete(b.kafka, name)
			}
		}
	}
	slices.Sort(c.Ignored)
	c.Ignored = append(c.Ignored, b.unknown...)
	listening := endpointsOf(c.Listeners)
	b.kafka["listeners"] = Setting{Name: "listeners", Value: listening, Origin: b.listenFrom}
	b.own[ownListen] = ownValue{values: []string{strings.ReplaceAll(listening, DefaultListener+"://", "")}, origin: b.listenFrom}
	if told := advertisedOf(c.Listeners); told != "" {
		b.kafka["advertised.listeners"] = Setting{Name: "advertised.listeners", Value: told, Origin: b.advertiseFrom}
		b.own[ownAdvertise] = ownValue{values: []string{strings.ReplaceAll(told, DefaultListener+"://", "")}, origin: b.advertiseFrom}
	} else {
		delete(b.kafka, "advertised.listeners")
	}
	if _, set := b.kafka["process.roles"]; !set {
		b.kafka["process.roles"] = Setting{Name: "process.roles", Value: "broker,controller"}
	}
	for _, s := range profileSettings(c.Profile) {
		if _, set := b.kafka[s.Name]; !set {
			b.kafka[s.Name] = s
		}
	}
	var settings []Setting
	for _, name := range sortedKeys(b.kafka) {
		settings = append(settings, b.kafka[name])
	}
	var err error
	if c.Static, err = NewStatic(settings...); err != nil {
		return err
	}
	return c.Static.checkTogether()
}

// ownsProperty says that a property has done its work when the Config was made.
func (c *Config) ownsProperty(name string) bool { return name == "inter.broker.listener.name" }

// profileSettings are the properties that a profile has other defaults for.
func profileSettings(p Profile) []Setting {
	origin := Origin{FromProfile, string(p)}
	if p == ProfileProduction {
		return []Setting{{Name: "auto.create.topics.enable", Value: "false", Origin: origin}}
	}
	return []Setting{{Name: "group.initial.rebalance.delay.ms", Value: "0", Origin: origin}}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
