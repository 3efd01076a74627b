package cases

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// apiVersions covers version negotiation.
func apiVersions(l *diff.List) {
	l.Each("AV/answer", "AV-02 AV-03 AV-08 AV-13", diff.Range(0, 4), func(t *diff.T, v int16) {
		diff.Do(t.Dial(), "api versions", v, software("kdiff", "1.0"))
	})
	l.Add("AV/version_not_served/99", "AV-01", func(t *diff.T) {
		c := t.Dial()
		unsupported(c, "api versions", 99)
		diff.Do(c, "metadata afterwards", 9, kit.Metadata())
	})
	for name, s := range map[string][2]string{
		"space_in_name": {"my client", "1"}, "empty_name": {"", "1"}, "empty_version": {"kdiff", ""}, "dash_at_end": {"kdiff-", "1"},
	} {
		l.Add("AV/software/"+name, "AV-07", func(t *diff.T) {
			c := t.Dial()
			diff.Try(c, "api versions", 3, software(s[0], s[1]))
			diff.Try(c, "metadata afterwards", 9, kit.Metadata())
		})
	}
	l.Add("AV/twice_on_one_connection", "AV-06", func(t *diff.T) {
		c := t.Dial()
		diff.Do(c, "first", 3, software("kdiff", "1.0"))
		diff.Do(c, "metadata", 9, kit.Metadata())
		diff.Do(c, "second", 3, software("kdiff", "2.0"))
	})
}

func software(name, version string) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = name, version
	return req
}

// unsupported sends ApiVersions at a version nobody serves; the answer is in v0.
func unsupported(c *diff.Conn, label string, v int16) {
	diff.Try(c, label, v, software("kdiff", "1.0"), diff.AsVersion(0))
}
