package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/handlers"
)

// pages gives the generated pages of the documentation by their files' names.
func pages() map[string]string {
	return map[string]string{"configuration.md": config.Reference(), "compatibility.md": compatibility()}
}

// compatibility writes the table of the APIs that are served.
func compatibility() string {
	var b strings.Builder
	b.WriteString(`# Kafka APIs that are served

<!-- Written by ` + "`make docs`" + ` from handlers/table.go. Don't edit. -->

The ranges are those of a Kafka 4.4 broker. What isn't in the table isn't advertised, and clients do without it.

| key | API | versions |
|---|---|---|
`)
	for _, a := range handlers.APIs() {
		note := ""
		if a.AdvertisedMin < a.Min {
			note = fmt.Sprintf(" (%d is advertised, as Kafka does for old clients' sake)", a.AdvertisedMin)
		}
		if a.Unadvertised {
			note = " (answered, but not advertised, as Kafka does)"
		}
		fmt.Fprintf(&b, "| %d | %s | %d to %d%s |\n", int16(a.Key), kmsg.NameForKey(int16(a.Key)), a.Min, a.Max, note)
	}
	return b.String()
}
