// Command table prints the results of bench/run.sh as a table: for each measurement the median of its rounds, broker by broker.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
)

// figures are what is shown of a measurement, in this order, where it is there.
var figures = []string{
	"broker_cpu_us_per_batch", "mb_per_s", "broker_cpu_s_per_gb", "first_record_ms", "rss_mb", "e2e_p50_ms", "e2e_p99_ms",
	"create_p50_ms", "form_s", "mend_s", "kb_per_conn", "binary_mb",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table RESULTS.jsonl")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	type key struct{ what, broker, figure string }
	values := map[key][]float64{}
	var order []key
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var row map[string]any
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, figure := range figures {
			v, ok := row[figure].(float64)
			if !ok {
				continue
			}
			k := key{fmt.Sprint(row["what"]), fmt.Sprint(row["broker"]), figure}
			if values[k] == nil {
				order = append(order, k)
			}
			values[k] = append(values[k], v)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tfigure\tbroker\tmedian\tlowest\thighest\trounds")
	for _, k := range order {
		v := values[k]
		slices.Sort(v)
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%d\n", k.what, k.figure, k.broker, v[len(v)/2], v[0], v[len(v)-1], len(v))
	}
	return w.Flush()
}
