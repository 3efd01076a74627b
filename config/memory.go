package config

import (
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// MachineMemory gives how much memory the process may have, in bytes: what its container (cgroup, version 2 or 1) or else the machine
// has; 0 where that can't be found out. contained says that a container limits it.
func MachineMemory() (limit int64, contained bool) {
	return memoryUnder("/")
}

// memoryUnder reads the limits below a root directory.
func memoryUnder(root string) (limit int64, contained bool) {
	total := int64(0)
	if b, err := os.ReadFile(path.Join(root, "proc/meminfo")); err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
				if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil && kib < math.MaxInt64>>10 {
					total = kib << 10
				}
			}
		}
	}
	least := int64(math.MaxInt64)
	for _, file := range cgroupLimits(root) {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 { // "max" is no limit
			least = min(least, n)
		}
	}
	// Version 1 says "no limit" with a huge number.
	if least == math.MaxInt64 || (total > 0 && least >= total) || least >= 1<<60 {
		return total, false
	}
	return least, true
}

// cgroupLimits lists the files that limit this process: those of its own group and of all groups around it.
func cgroupLimits(root string) []string {
	b, err := os.ReadFile(path.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil
	}
	var files []string
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var base, file string
		switch {
		case parts[0] == "0" && parts[1] == "":
			base, file = "sys/fs/cgroup", "memory.max"
		case strings.Contains(","+parts[1]+",", ",memory,"):
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			files = append(files, path.Join(root, base, group, file))
			if group == "/" {
				break
			}
		}
	}
	return files
}
