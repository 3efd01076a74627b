package franzgo

import (
	"bytes"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kbroker/kbroker/compat-tests/proc"
)

// kgoSkipped are kgo's own tests that need what this broker doesn't serve yet: transactions, the next-generation group protocol, share groups, SASL.
const kgoSkipped = `^(TestTxnEtl|TestShareGroup.*|TestSCRAM.*|Test848.*|TestConsumeRegexShareSkipsInternal)$`

// TestKgoSuite_ACC_01 runs franz-go's own tests, from its module, against the built broker.
func TestKgoSuite_ACC_01(t *testing.T) {
	b := proc.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=9m", "-v", "-skip", kgoSkipped, "github.com/twmb/franz-go/pkg/kgo")
	cmd.Env = append(cmd.Environ(), "KGO_SEEDS="+b.Addr, "KGO_TEST_RF=1", "KGO_TEST_RECORDS=50000", "KGO_LOG_LEVEL=none")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, last(out.String(), 80))
	}
	ran := regexp.MustCompile(`(?m)^--- PASS: (TestGroupETL|TestGroupSimple|TestConsumeRegex|TestClient_Produce|TestIssue865)\b`).FindAllString(out.String(), -1)
	if len(ran) < 5 {
		t.Errorf("only %q ran of the tests that need a broker\n%s", ran, last(out.String(), 40))
	}
}

func last(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
