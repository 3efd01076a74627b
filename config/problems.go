package config

import (
	"fmt"
	"strings"
)

// unknownProperty names a property that Kafka doesn't have, and the nearest one that it has.
func unknownProperty(s Setting) error {
	hint := ""
	if k, ok := Lookup(Topic, s.Name); ok && len(k.Synonyms) > 0 {
		hint = fmt.Sprintf("; the default for topics is %q", k.Synonyms[0])
	} else if near := nearest(s.Name, hintTypos); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Errorf("%s: Kafka has no broker property %q%s (allowed: those that kbroker config --all lists)", s.Origin, s.Name, hint)
}

// badProperty names a property with a value that isn't allowed, and what is allowed.
func badProperty(k *Key, s Setting, err error) error {
	allowed := strings.ToLower(k.Type.String())
	if k.Valid != "" {
		allowed += ", " + k.Valid
	}
	return fmt.Errorf("%s: %w (allowed: %s)", s.Origin, err, allowed)
}

// hintTypos is by how many letters a property may differ to be suggested.
const hintTypos = 3

// nearest finds the broker property that differs least from a name, "" where all differ by more letters than typos.
func nearest(name string, typos int) string {
	best, distance := "", typos+1
	for i := range brokerKeys {
		if d := editDistance(name, brokerKeys[i].Name, distance); d < distance {
			best, distance = brokerKeys[i].Name, d
		}
	}
	return best
}

// editDistance counts the changes, insertions and deletions between two words, or gives limit where they are that many or more.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			next := min(row[j], row[j-1]) + 1
			if a[i-1] == b[j-1] {
				next = min(next, diagonal)
			} else {
				next = min(next, diagonal+1)
			}
			diagonal, row[j] = row[j], next
		}
	}
	return min(row[len(b)], limit)
}
