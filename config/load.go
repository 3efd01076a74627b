package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// AddFlags defines the program's flags.
func AddFlags(flags *pflag.FlagSet) {
	for _, o := range ownSettings {
		v := &flagValue{setting: o}
		if o.fallback != "" {
			v.values = []string{o.fallback}
		}
		flags.Var(v, o.name, o.doc)
	}
}

// flagValue is what was given for a flag.
type flagValue struct {
	setting ownSetting
	values  []string
	given   bool
}

// Set takes the flag's argument; a flag that may be repeated collects them.
func (v *flagValue) Set(s string) error {
	if !v.given || !v.setting.several {
		v.values, v.given = nil, true
	}
	if v.setting.separator == "," {
		v.values = append(v.values, split(s, ",")...)
	} else {
		v.values = append(v.values, s)
	}
	return nil
}

func (v *flagValue) String() string { return strings.Join(v.values, ",") }

// Type is what the usage shows for the argument.
func (v *flagValue) Type() string { return v.setting.argument }

// Load makes the program's configuration of its flags, which AddFlags defined, of the environment and of the file that --config names. Flags win
// over the environment, that over the file, and that over the profile and the defaults. Errors are one line that names the setting and what is allowed.
func Load(flags *pflag.FlagSet) (*Config, error) {
	environ := os.Environ()
	if name, meant, found := misspelledVariable(environ); found {
		return nil, fmt.Errorf("environment %s: there is no such setting; did you mean %s?", name, meant)
	}
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00")) // Kafka's names have dots
	for _, o := range ownSettings {
		if err := errors.Join(v.BindPFlag(o.name, flags.Lookup(o.name)), v.BindEnv(o.name, Environment(o.name))); err != nil {
			return nil, err
		}
	}
	b := newBuilder()
	path := v.GetString(ownConfig)
	if path != "" {
		own, kafka, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if err := v.MergeConfigMap(own); err != nil {
			return nil, fmt.Errorf("file %s: %w", path, err)
		}
		for _, s := range kafka {
			b.add(s)
		}
	}
	for _, o := range ownSettings {
		variable, inEnvironment := os.LookupEnv(Environment(o.name))
		origin := Origin{}
		switch given, _ := flags.Lookup(o.name).Value.(*flagValue); {
		case flags.Changed(o.name) && given != nil:
			b.own[o.name] = ownValue{values: given.values, origin: Origin{FromFlag, "--" + o.name}}
			continue
		case inEnvironment && variable != "":
			origin = Origin{FromEnvironment, Environment(o.name)}
		case v.InConfig(o.name):
			origin = Origin{FromFile, path}
		default:
			continue
		}
		b.own[o.name] = ownValue{values: valuesOf(o, v.Get(o.name)), origin: origin}
	}
	settings, clusterID, unknown, err := environmentSettings(environ)
	if err != nil {
		return nil, err
	}
	b.clusterID, b.unknown = clusterID, unknown
	for _, s := range settings {
		b.add(s)
	}
	given := b.own[ownSet]
	for _, pair := range given.values {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, given.problem(ownSet, "%q is not PROPERTY=VALUE", pair)
		}
		b.add(Setting{Name: strings.TrimSpace(name), Value: value, Origin: given.origin})
	}
	return b.build()
}

// valuesOf splits what viper has for a setting.
func valuesOf(o ownSetting, value any) []string {
	list := []string{}
	switch x := value.(type) {
	case []string:
		list = x
	case []any:
		for _, e := range x {
			list = append(list, scalar(e))
		}
	default:
		list = append(list, scalar(x))
	}
	if !o.several {
		return list
	}
	var values []string
	for _, s := range list {
		values = append(values, split(s, o.separator)...)
	}
	return values
}

// split gives the parts of a list that aren't empty.
func split(s, separator string) (parts []string) {
	for part := range strings.SplitSeq(s, separator) {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// scalar writes a value of a YAML file as it would stand in a properties file.
func scalar(value any) string {
	switch x := value.(type) {
	case nil:
		return ""
	case string:
		return x
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case []any:
		var parts []string
		for _, e := range x {
			parts = append(parts, scalar(e))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(value)
}

// maxFileSize bounds a configuration file, in bytes.
const maxFileSize = 1 << 20

// readFile reads a YAML file or a server.properties.
func readFile(path string) (own map[string]any, kafka []Setting, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fileProblem(path, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileSize {
		return nil, nil, fmt.Errorf("--config: %s is not a file of at most 1 MiB", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fileProblem(path, err)
	}
	origin := Origin{FromFile, path}
	if isYAML(path, content) {
		return readYAML(content, origin)
	}
	pairs, err := parseProperties(string(content))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", origin, err)
	}
	for _, p := range pairs {
		kafka = append(kafka, Setting{Name: p[0], Value: p[1], Origin: origin})
	}
	return nil, kafka, nil
}

func fileProblem(path string, err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("--config: can't read %s: %w", path, err)
}

// assignment is how a line of a properties file begins, which no line of a YAML file does.
var assignment = regexp.MustCompile(`(?m)^[ \t]*[\w.-]+[ \t]*=`)

func isYAML(path string, content []byte) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		return true
	case ".properties":
		return false
	}
	return !assignment.Match(content)
}

func readYAML(content []byte, origin Origin) (own map[string]any, kafka []Setting, err error) {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(content)); err != nil {
		return nil, nil, fmt.Errorf("%s: it is not YAML: %s", origin, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "While parsing config: "), "\n", " "))
	}
	own = map[string]any{}
	settings := v.AllSettings()
	for _, name := range sortedKeys(settings) {
		value := settings[name]
		isOwn := slices.ContainsFunc(ownSettings, func(o ownSetting) bool { return o.name == name && !o.hidden })
		nested, isMap := value.(map[string]any)
		switch {
		case isOwn && isMap:
			return nil, nil, fmt.Errorf("%s: %s must be a value, not a map", origin, name)
		case isOwn:
			own[name] = value
		case name == "kafka" && (isMap || value == nil):
			kafka = flatten(kafka, "", nested, origin)
		case known(name) && !isMap:
			kafka = append(kafka, Setting{Name: name, Value: scalar(value), Origin: origin})
		default:
			return nil, nil, fmt.Errorf("%s: there is no setting %q (allowed: the flags' names, kafka, or a property of Kafka's)", origin, name)
		}
	}
	return own, kafka, nil
}

// flatten joins nested names with dots, so that log.retention.ms may be written as three levels.
func flatten(list []Setting, prefix string, settings map[string]any, origin Origin) []Setting {
	for _, name := range sortedKeys(settings) {
		if nested, ok := settings[name].(map[string]any); ok {
			list = flatten(list, prefix+name+".", nested, origin)
			continue
		}
		list = append(list, Setting{Name: prefix + name, Value: scalar(settings[name]), Origin: origin})
	}
	return list
}
