package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbroker/kbroker/config"
)

// brokerFunc runs a broker until its context ends.
type brokerFunc func(ctx context.Context, cfg *config.Config, log *slog.Logger) error

// usageError says that the command line is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// oneLine keeps an error on one line.
func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " ")
}

// run executes the command line.
func (p program) run(ctx context.Context, args []string) error {
	root := p.root()
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// noArguments refuses arguments, as a usage error.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
	}
	return nil
}

func (p program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "kbroker",
		Short: "A small, fast broker that speaks Kafka's protocol",
		Long: "A small, fast broker that speaks Kafka's protocol. Without a command it runs the broker.\n\n" +
			"Every flag is also an environment variable, KBROKER_ and its name, and every Kafka broker property is also KAFKA_ and its name with underscores.\n" +
			"Flags win over the environment, that over --config, and that over the defaults.",
		Args: noArguments, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context(), cmd) },
	}
	root.SetOut(p.out)
	root.SetErr(p.errOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	config.AddFlags(root.PersistentFlags())
	root.AddCommand(p.versionCommand(), p.configCommand(), p.healthCommand(), p.docsCommand())
	return root
}

// serve runs the broker.
func (p program) serve(ctx context.Context, cmd *cobra.Command) error {
	cfg, err := config.Load(cmd.Flags())
	if err != nil {
		return err
	}
	limitMemory()
	cfg.Version = p.version
	return p.runBroker(ctx, cfg, newLogger(cfg, p.errOut))
}

// heapShare is the part of the container's memory, in tenths, that the Go runtime tries not to go beyond; the rest is for stacks and the page cache's needs.
const heapShare = 9

// limitMemory has the Go runtime keep below what the container or machine has, unless GOMEMLIMIT says otherwise.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit, _ := config.MachineMemory(); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * heapShare)
	}
}

func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func (p program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(p.out, "kbroker %s (%s, %s/%s)\n", p.version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func (p program) configCommand() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use: "config", Short: "Print the effective settings and where each comes from", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags())
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(p.out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(cfg.Effective(all))
			}
			return printSettings(p.out, cfg, all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "print Kafka's settings that are at their defaults too")
	return cmd
}

func printSettings(out io.Writer, cfg *config.Config, all bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	kafka := false
	fmt.Fprintln(w, "SETTING\tVALUE\tFROM")
	for _, s := range cfg.Effective(all) {
		if s.Kafka && !kafka {
			kafka = true
			fmt.Fprintln(w, "\t\t")
			fmt.Fprintln(w, "KAFKA PROPERTY\tVALUE\tFROM")
		}
		origin := s.Origin
		if s.Ignored {
			origin += " (has no effect)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, origin)
	}
	return w.Flush()
}

func (p program) healthCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Exit with 0 if the broker is ready, else with 1", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return checkHealth(ctx, cfg)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "how long to wait for the answer")
	return cmd
}

func (p program) docsCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "docs", Short: "Write the generated pages of the documentation", Hidden: true, Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			for name, page := range pages() {
				if err := os.WriteFile(filepath.Join(out, name), []byte(page), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "docs", "the folder of the pages")
	return cmd
}
