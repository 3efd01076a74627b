package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// advertisedChange is the body of PUT /advertised.
type advertisedChange struct {
	Host string `json:"host"`
	Port int32  `json:"port"`
	// Listener is empty for all listeners.
	Listener string `json:"listener"`
}

// getAdvertised answers with what the clients of each listener are told.
func (s *Server) getAdvertised(w http.ResponseWriter, _ *http.Request) {
	if s.deps.Advertised == nil {
		answer(w, http.StatusNotFound, "there are no listeners\n")
		return
	}
	told := map[string]string{}
	for _, l := range s.deps.Advertised.Listeners() {
		told[l] = s.deps.Advertised.Advertised(l)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(told)
}

// putAdvertised changes what clients are told: HOST:PORT, auto, or JSON. A harness that learns the published port only after the start needs it.
func (s *Server) putAdvertised(w http.ResponseWriter, r *http.Request) {
	if s.deps.Advertised == nil || !s.deps.AdvertisedAtRunTime {
		answer(w, http.StatusForbidden, "the advertised address can be changed at run time in the dev profile only; use --advertise\n")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		answer(w, status, "the body can't be read: "+err.Error()+"\n")
		return
	}
	change, err := parseChange(body)
	if err == nil {
		if l := r.URL.Query().Get("listener"); change.Listener == "" {
			change.Listener = l
		}
		err = s.change(change)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error()+" (allowed: HOST:PORT, auto, or {\"host\": \"HOST\", \"port\": PORT, \"listener\": \"NAME\"})\n")
		return
	}
	s.deps.Logger.Info("the advertised address was changed", "listener", change.Listener, "host", change.Host, "port", change.Port)
	s.getAdvertised(w, r)
}

func (s *Server) change(c advertisedChange) error {
	listeners := s.deps.Advertised.Listeners()
	if c.Listener != "" {
		if !slices.Contains(listeners, c.Listener) {
			return fmt.Errorf("there is no listener %q, but %s", c.Listener, strings.Join(listeners, ", "))
		}
		listeners = []string{c.Listener}
	}
	for _, l := range listeners {
		s.deps.Advertised.SetAdvertised(l, c.Host, c.Port)
	}
	return nil
}

// parseChange reads the body. The empty host means auto.
func parseChange(body []byte) (advertisedChange, error) {
	text := strings.TrimSpace(string(body))
	var c advertisedChange
	switch {
	case text == "auto":
		return c, nil
	case strings.HasPrefix(text, "{"):
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			return c, fmt.Errorf("the body is not what is expected: %w", err)
		}
		if c.Host == "auto" && c.Port == 0 {
			c.Host = ""
			return c, nil
		}
	default:
		host, port, err := net.SplitHostPort(text)
		n, err2 := strconv.ParseInt(port, 10, 32)
		if err != nil || err2 != nil {
			return c, fmt.Errorf("%q is not HOST:PORT", text)
		}
		c.Host, c.Port = host, int32(n)
	}
	if a, err := netip.ParseAddr(c.Host); c.Host == "" || strings.ContainsAny(c.Host, " /\t\n") || (err == nil && a.IsUnspecified()) {
		return c, fmt.Errorf("clients can't connect to the host %q", c.Host)
	}
	if c.Port < 1 || c.Port > 65535 {
		return c, fmt.Errorf("the port %d is not from 1 to 65535", c.Port)
	}
	return c, nil
}
