package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/config"
)

// checkHealth asks a running broker whether it is ready: over HTTP, or where that is off over the first Kafka listener, which is only open when it is.
func checkHealth(ctx context.Context, cfg *config.Config) error {
	if cfg.HTTP != "" {
		return askReady(ctx, reachable(cfg.HTTP))
	}
	return askVersions(ctx, reachable(cfg.Listeners[0].Addresses[0]))
}

// reachable gives an address to connect to for one to listen on.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if a, err := netip.ParseAddr(host); host == "" || (err == nil && a.IsUnspecified()) {
		host = "127.0.0.1" // a container may know no names
	}
	return net.JoinHostPort(host, port)
}

func askReady(ctx context.Context, address string) error {
	url := "http://" + address + "/ready"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: the broker is on this machine
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the broker doesn't answer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return fmt.Errorf("%s answers %d: %s", url, response.StatusCode, strings.TrimSpace(string(body)))
	}
	return nil
}

// maxVersionsAnswer bounds the answer to ApiVersions, in bytes.
const maxVersionsAnswer = 64 << 10

// askVersions sends ApiVersions and waits for the answer.
func askVersions(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("the broker doesn't answer: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	const correlation = 1
	request := kmsg.NewPtrApiVersionsRequest()
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("kbroker-healthcheck")).AppendRequest(nil, request, correlation)
	if _, err := conn.Write(frame); err != nil {
		return fmt.Errorf("the broker doesn't answer: %w", err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return fmt.Errorf("the broker doesn't answer: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > maxVersionsAnswer {
		return errors.New("what listens on " + address + " is no Kafka broker")
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("the broker doesn't answer: %w", err)
	}
	response := kmsg.NewPtrApiVersionsResponse()
	response.SetVersion(request.GetVersion())
	if binary.BigEndian.Uint32(answer) != correlation || response.ReadFrom(answer[4:]) != nil || response.ErrorCode != 0 {
		return errors.New("what listens on " + address + " is no Kafka broker")
	}
	return nil
}
