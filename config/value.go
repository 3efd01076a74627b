package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// parsed is a value read by its key's type; the field of the type is set.
type parsed struct {
	long   int64
	double float64
	truth  bool
	text   string
	list   []string
}

// parse reads a value as its type demands, as Kafka's ConfigDef does. problem is Kafka's text where it can't be read.
func parse(t Type, value string) (p parsed, problem string) {
	trimmed := trim(value)
	switch t {
	case TypeBoolean:
		switch {
		case strings.EqualFold(trimmed, "true"):
			p.truth = true
		case strings.EqualFold(trimmed, "false"):
		default:
			return p, "Expected value to be either true or false"
		}
	case TypeInt, TypeShort, TypeLong:
		bits := map[Type]int{TypeInt: 32, TypeShort: 16, TypeLong: 64}[t]
		n, err := strconv.ParseInt(trimmed, 10, bits)
		if err != nil {
			return p, "Not a number of type " + t.String()
		}
		p.long = n
	case TypeDouble:
		d, ok := parseJavaDouble(trimmed)
		if !ok {
			return p, "Not a number of type " + t.String()
		}
		p.double = d
	case TypeList:
		p.list = SplitList(trimmed)
	case TypeString, TypeClass, TypePassword:
		p.text = trimmed
	}
	return p, ""
}

// trim takes away what Java's String.trim does.
func trim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }

// SplitList splits the value of a LIST setting at its commas. An empty value is the empty list.
func SplitList(value string) []string {
	value = trim(value)
	if value == "" {
		return nil
	}
	list := strings.Split(value, ",")
	for i := range list {
		list[i] = trim(list[i])
	}
	return list
}

// parseJavaDouble reads what Java's Double.parseDouble reads.
func parseJavaDouble(s string) (float64, bool) {
	switch s {
	case "NaN", "+NaN", "-NaN":
		return math.NaN(), true
	case "Infinity", "+Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	// Java allows a type's letter at the end; strconv allows underscores and other spellings of infinity.
	if n := len(s); n > 1 && strings.ContainsRune("dDfF", rune(s[n-1])) {
		s = s[:n-1]
	}
	if strings.ContainsAny(s, "_iInN") {
		return 0, false
	}
	d, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(d, 0) { // out of range is infinity in Java
		return 0, false
	}
	return d, true
}

// formatJavaDouble writes a number as Java's Double.toString does.
func formatJavaDouble(d float64) string {
	switch {
	case math.IsNaN(d):
		return "NaN"
	case math.IsInf(d, 1):
		return "Infinity"
	case math.IsInf(d, -1):
		return "-Infinity"
	case d == 0:
		if math.Signbit(d) {
			return "-0.0"
		}
		return "0.0"
	}
	if a := math.Abs(d); a >= 1e-3 && a < 1e7 {
		s := strconv.FormatFloat(d, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(d, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}

// distinct drops what a list holds twice, as Kafka does; lists of throttled replicas are left as they are.
func (k *Key) distinct(list []string) []string {
	if strings.Contains(k.Valid, throttledReplicas) {
		return list
	}
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

// normal writes a valid value as Kafka shows it once it was read: trimmed, numbers without signs and leading zeros.
func (k *Key) normal(value string) string {
	p, problem := parse(k.Type, value)
	if problem != "" {
		return value
	}
	switch k.Type {
	case TypeBoolean:
		return strconv.FormatBool(p.truth)
	case TypeInt, TypeShort, TypeLong:
		return strconv.FormatInt(p.long, 10)
	case TypeDouble:
		return formatJavaDouble(p.double)
	case TypeList:
		return strings.Join(k.distinct(p.list), ",")
	case TypeString, TypeClass, TypePassword:
		return p.text
	}
	return value
}
