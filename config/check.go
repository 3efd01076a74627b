package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxValueLength is the longest value a setting may have at run time, in characters (it has to fit Kafka's short strings).
const MaxValueLength = 32767

// ValueError says that a value isn't allowed, in Kafka's words.
type ValueError struct {
	Name, Value string
	// Problem says what is wrong; where Kafka has a sentence of its own for it, Whole is that sentence.
	Problem, Whole string
}

func (e *ValueError) Error() string {
	if e.Whole != "" {
		return e.Whole
	}
	if e.Problem == "" {
		return fmt.Sprintf("Invalid value %s for configuration %s", e.Value, e.Name)
	}
	return fmt.Sprintf("Invalid value %s for configuration %s: %s", e.Value, e.Name, e.Problem)
}

// Check says whether a value is allowed. The error is a *ValueError.
func (k *Key) Check(value string) error {
	p, problem := parse(k.Type, value)
	if problem != "" {
		return &ValueError{Name: k.Name, Value: value, Problem: problem}
	}
	if problem := k.rule().check(k, p); problem != nil {
		problem.Name = k.Name
		if problem.Value == "" {
			problem.Value = k.normal(value)
			if k.Type == TypeList {
				problem.Value = "[" + strings.Join(p.list, ", ") + "]"
			}
		}
		return problem
	}
	return nil
}

// rule is Valid, read.
type rule struct {
	min, max       string // numeric bounds, empty where there is none
	orElse         string // a number beside the range
	oneOf          []string
	ignoreCase     bool
	nonEmpty       bool // strings and lists
	throttled      bool // replicas by partition and broker
	durationPrefix string
}

var durationPattern = regexp.MustCompile(`^[+-]?[Pp](?:[+-]?[0-9]+[Dd])?(?:[Tt](?:[+-]?[0-9]+[Hh])?(?:[+-]?[0-9]+[Mm])?(?:[+-]?[0-9]+(?:[.,][0-9]{0,9})?[Ss])?)?$`)

// throttledReplicas is in Valid of lists of throttled replicas.
const throttledReplicas = "[partitionId]:[brokerId]"

// rule reads Valid.
func (k *Key) rule() (r rule) {
	v := k.Valid
	switch v {
	case "":
		return r
	case "non-null string":
		return r
	case "non-empty string", "non-empty list":
		r.nonEmpty = true
		return r
	}
	if strings.Contains(v, throttledReplicas) {
		r.throttled = true
		return r
	}
	v, r.ignoreCase = strings.CutPrefix(v, "(case insensitive) ")
	v, r.orElse, _ = strings.Cut(v, " or ")
	inner := strings.TrimSuffix(strings.TrimPrefix(v, "["), "]")
	switch k.Type {
	case TypeInt, TypeShort, TypeLong, TypeDouble:
		if low, high, ok := strings.Cut(inner, ",..."); ok {
			r.min, r.max = low, strings.TrimPrefix(high, ",")
			return r
		}
	case TypeBoolean, TypeString, TypeList, TypeClass, TypePassword:
	}
	r.oneOf = strings.Split(inner, ", ")
	if i := slices.IndexFunc(r.oneOf, func(s string) bool { return strings.HasPrefix(s, "by_duration:") }); i >= 0 {
		r.durationPrefix = "by_duration:"
		r.oneOf = slices.Delete(r.oneOf, i, i+1)
	}
	return r
}

func (r rule) check(k *Key, p parsed) *ValueError {
	switch k.Type {
	case TypeInt, TypeShort, TypeLong, TypeDouble:
		return r.checkNumber(k, p)
	case TypeList:
		return r.checkList(k, p)
	case TypeString:
		return r.checkString(k, p.text)
	case TypeBoolean, TypeClass, TypePassword:
	}
	return nil
}

func (r rule) checkNumber(k *Key, p parsed) *ValueError {
	number := float64(p.long)
	if k.Type == TypeDouble {
		number = p.double
	}
	below := func(bound string) bool { b, err := strconv.ParseFloat(bound, 64); return err == nil && number < b }
	above := func(bound string) bool { b, err := strconv.ParseFloat(bound, 64); return err == nil && number > b }
	if r.orElse != "" {
		if strconv.FormatInt(p.long, 10) != r.orElse && (below(r.min) || above(r.max)) {
			return &ValueError{Problem: fmt.Sprintf("Value must be between %s and %s or equal to %s", r.min, r.max, r.orElse)}
		}
		return nil
	}
	if r.min != "" && below(r.min) {
		return &ValueError{Problem: "Value must be at least " + r.min}
	}
	if r.max != "" && above(r.max) {
		return &ValueError{Problem: "Value must be no more than " + r.max}
	}
	return nil
}

func (r rule) checkString(k *Key, s string) *ValueError {
	if r.nonEmpty && s == "" {
		return &ValueError{Problem: "String must be non-empty"}
	}
	if len(r.oneOf) == 0 || slices.Contains(r.oneOf, s) {
		return nil
	}
	if r.ignoreCase {
		if slices.ContainsFunc(r.oneOf, func(allowed string) bool { return strings.EqualFold(allowed, s) }) {
			return nil
		}
		return &ValueError{Problem: "String must be one of (case insensitive): " + strings.Join(r.oneOf, ", ")}
	}
	if r.durationPrefix != "" {
		return r.checkDuration(k, s)
	}
	return &ValueError{Problem: "String must be one of: " + strings.Join(r.oneOf, ", ")}
}

// checkDuration checks where a share group begins: a duration as ISO 8601 has it, not negative.
func (r rule) checkDuration(k *Key, s string) *ValueError {
	duration, ok := strings.CutPrefix(s, r.durationPrefix)
	bad := !ok || !durationPattern.MatchString(duration) || strings.HasSuffix(strings.ToUpper(duration), "T") || strings.HasSuffix(strings.ToUpper(duration), "P")
	if bad || strings.Contains(duration, "-") {
		return &ValueError{Problem: fmt.Sprintf("Invalid value `%s` for configuration %s. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.", s, k.Name)}
	}
	return nil
}

var throttledReplica = regexp.MustCompile(`^[0-9]+:[0-9]+$`)

func (r rule) checkList(k *Key, p parsed) *ValueError {
	if r.throttled {
		whole := len(p.list) == 1 && p.list[0] == "*"
		if !whole && slices.ContainsFunc(p.list, func(s string) bool { return !throttledReplica.MatchString(s) }) {
			return &ValueError{Problem: k.Name + " must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."}
		}
		return nil
	}
	if r.nonEmpty && len(p.list) == 0 {
		return &ValueError{Whole: "Configuration '" + k.Name + "' must not be empty. Valid values include: any non-empty value"}
	}
	for _, s := range p.list {
		if s == "" {
			return &ValueError{Whole: "Configuration '" + k.Name + "' values must not be empty."}
		}
		if len(r.oneOf) > 0 && !slices.Contains(r.oneOf, s) {
			return &ValueError{Value: s, Problem: "String must be one of: " + strings.Join(r.oneOf, ", ")}
		}
	}
	return nil
}
