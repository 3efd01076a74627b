package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Origin says where a setting of the program comes from.
type Origin struct {
	Kind OriginKind
	// Name is the flag, the environment variable, the file or the profile.
	Name string
}

// OriginKind is the sort of place a setting comes from; later ones win.
type OriginKind int8

const (
	FromDefault OriginKind = iota
	FromProfile
	FromFile
	FromEnvironment
	FromFlag
)

// String is the origin as kbroker config prints it.
func (o Origin) String() string {
	switch o.Kind {
	case FromDefault:
		return "default"
	case FromProfile:
		return "profile " + o.Name
	case FromFile:
		return "file " + o.Name
	case FromEnvironment:
		return "environment " + o.Name
	case FromFlag:
		return "flag " + o.Name
	}
	return "unknown"
}

// Setting is a Kafka broker property that the program was started with.
type Setting struct {
	Name, Value string
	Origin      Origin
}

// Static is the broker's static properties. It is immutable; the nil Static has only defaults.
type Static struct {
	settings map[string]Setting
}

// NewStatic checks the settings; of two with one name the later holds. The error names the setting and what is allowed.
func NewStatic(settings ...Setting) (*Static, error) {
	s := &Static{settings: make(map[string]Setting, len(settings))}
	for _, set := range settings {
		k, ok := Lookup(Broker, set.Name)
		if !ok || k.DynamicOnly {
			return nil, unknownProperty(set)
		}
		if err := k.Check(set.Value); err != nil {
			return nil, badProperty(k, set, err)
		}
		s.settings[set.Name] = set
	}
	return s, nil
}

// With gives a copy in which further settings hold.
func (s *Static) With(settings ...Setting) (*Static, error) {
	return NewStatic(append(s.Settings(), settings...)...)
}

// Settings lists what is set, sorted by name.
func (s *Static) Settings() []Setting {
	if s == nil {
		return nil
	}
	list := make([]Setting, 0, len(s.settings))
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		list = append(list, s.settings[name])
	}
	return list
}

// Get gives the value of a setting as it was set, or its default; set says whether it was set. A null default is "".
func (s *Static) Get(name string) (value string, set bool) {
	if s != nil {
		if v, ok := s.settings[name]; ok {
			return v.Value, true
		}
	}
	if k, ok := Lookup(Broker, name); ok {
		return k.Default, false
	}
	return "", false
}

// IsSet says whether a setting was set.
func (s *Static) IsSet(name string) bool { _, set := s.Get(name); return set }

// Origin says where a setting comes from.
func (s *Static) Origin(name string) Origin {
	if s == nil {
		return Origin{}
	}
	return s.settings[name].Origin
}

// The typed getters give a setting's value or its default. They panic where the table has no such setting of that type, which is a mistake
// in the program; values were checked when they were set. A null default is the zero value.

// Int gives an INT or SHORT setting.
func (s *Static) Int(name string) int { return int(s.number(name, TypeInt, TypeShort)) }

// Long gives a LONG, INT or SHORT setting.
func (s *Static) Long(name string) int64 { return s.number(name, TypeLong, TypeInt, TypeShort) }

func (s *Static) number(name string, types ...Type) int64 {
	value, _ := s.typed(name, types...)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseInt(trim(value), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("config: %s has the unchecked value %q", name, value))
	}
	return n
}

// Double gives a DOUBLE setting.
func (s *Static) Double(name string) float64 {
	value, _ := s.typed(name, TypeDouble)
	p, _ := parse(TypeDouble, value)
	return p.double
}

// Bool gives a BOOLEAN setting.
func (s *Static) Bool(name string) bool {
	value, _ := s.typed(name, TypeBoolean)
	p, _ := parse(TypeBoolean, value)
	return p.truth
}

// String gives a STRING, CLASS or PASSWORD setting.
func (s *Static) String(name string) string {
	value, _ := s.typed(name, TypeString, TypeClass, TypePassword)
	return trim(value)
}

// List gives a LIST setting.
func (s *Static) List(name string) []string {
	value, _ := s.typed(name, TypeList)
	return SplitList(value)
}

func (s *Static) typed(name string, types ...Type) (value string, set bool) {
	k, ok := Lookup(Broker, name)
	if !ok || !slices.Contains(types, k.Type) {
		panic("config: there is no setting " + name + " of type " + types[0].String())
	}
	return s.Get(name)
}
