package config

import (
	"fmt"
	"strings"
)

// Reference writes the reference page of all settings in Markdown: docs/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Settings

<!-- Written by ` + "`make docs`" + ` from the table in config/. Don't edit. -->

## The program

Each is a flag, an environment variable, and a key of a YAML file. Where one is given twice, the flag wins, then the environment, then the file,
then the profile, then the default. A flag that can be repeated takes a list in YAML, and its values divided by commas in the environment
(` + "`KBROKER_SET`" + `: by semicolons).

| flag | environment | default | |
|---|---|---|---|
`)
	for _, o := range ownSettings {
		fallback := ""
		if o.fallback != "" {
			fallback = code(o.fallback)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code("--"+o.name+" "+o.argument), code(Environment(o.name)), fallback, cell(o.doc))
	}
	b.WriteString(`
A YAML file has the flags' names, and Kafka's properties under ` + "`kafka`" + `:

` + "```yaml" + `
listen: [0.0.0.0:9092]
data-dir: /var/lib/kbroker
topic: [orders:12, payments]
kafka:
  log.retention.hours: 24
  message.max.bytes: 2097152
` + "```" + `

A ` + "`server.properties`" + ` has Kafka's properties only. In the environment ` + "`KAFKA_LOG_RETENTION_MS`" + ` is ` + "`log.retention.ms`" + `, as in Kafka's container
images: ` + "`_`" + ` is a dot, ` + "`__`" + ` an underscore, ` + "`___`" + ` a hyphen. ` + "`CLUSTER_ID`" + ` is the id that a new data directory gets, and an existing one must have.

An unknown property is an error. A variable that begins with ` + "`KAFKA_`" + ` and is no property is not, since it may be meant for another program; it is named
in the log, and it is an error only where it looks like a typing mistake.

Some say the same thing. ` + "`listeners`" + ` and ` + "`advertised.listeners`" + ` say more than ` + "`--listen`" + ` and ` + "`--advertise`" + ` and win over them, unless those are flags
and the properties aren't. ` + "`--data-dir`" + ` is ` + "`log.dirs`" + `, ` + "`--node-id`" + ` is ` + "`node.id`" + `: the flag wins, then the environment, then the file.

The profiles have other defaults: ` + "`dev`" + ` ` + profileText(ProfileDev) + `; ` + "`production`" + ` ` + profileText(ProfileProduction) + `.

## Kafka's settings

All of Kafka 4.4's public settings are accepted, checked as Kafka checks them, stored and shown. Those with a **•** change what kbroker does.
`)
	sections := []struct {
		title, text string
		scope       Scope
	}{
		{"Topics", "A topic that doesn't set one takes the broker's setting in the last column, or the default.", Topic},
		{"Brokers", "Where a setting can be changed while the broker runs: cluster-wide, per broker, or not (read-only).", Broker},
		{"Groups", "A group that doesn't set one takes the broker's setting in the last column, or the default.", Group},
		{"Client metrics subscriptions", "", ClientMetrics},
	}
	for _, s := range sections {
		fmt.Fprintf(&b, "\n### %s\n\n", s.title)
		if s.text != "" {
			b.WriteString(s.text + "\n\n")
		}
		last := map[Scope]string{Topic: "broker's setting", Group: "broker's setting", Broker: "change"}[s.scope]
		fmt.Fprintf(&b, "| | name | | type | default | allowed | %s |\n|---|---|---|---|---|---|---|\n", last)
		for _, k := range Keys(s.scope) {
			effect := ""
			if k.Effect {
				effect = "•"
			}
			fallback := "null"
			if k.HasDefault {
				fallback = code(k.Default)
			}
			end := ""
			switch s.scope {
			case Broker:
				end = k.UpdateMode.String()
			case Topic, Group:
				for i, name := range k.Synonyms {
					if i > 0 {
						end += ", "
					}
					end += code(name)
				}
			case ClientMetrics:
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", effect, code(k.Name), cell(k.Doc), strings.ToLower(k.Type.String()), fallback, code(k.Valid), end)
		}
	}
	return b.String()
}

func profileText(p Profile) string {
	durability := DurabilityOS
	if p == ProfileProduction {
		durability = DurabilityFsync
	}
	parts := []string{code("--durability=" + string(durability))}
	for _, s := range profileSettings(p) {
		parts = append(parts, code(s.Name+"="+s.Value))
	}
	return strings.Join(parts, ", ")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
