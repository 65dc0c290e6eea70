package main

import (
	"os"

	"github.com/sluice-gateway/sluice/testing/bench"
)

const builtin = "routing: {default: prod}, topics: {}, offsets: {}]"

// stand is what is compared: a sink, and processes in front of it. The first is the sink itself.
type stand struct {
	dir  string
	sink *bench.Sink
	list []*middle
}

func newStand(dir string, sink *bench.Sink) *stand {
	return &stand{dir, sink, []*middle{{name: "direct", addr: sink.Addr()}}}
}

// gateway starts one with a chain and a section telemetry, "" for the usual one, and makes it know
// its clients.
func (s *stand) gateway(name, bin, chain, telemetry string) error {
	dir, err := os.MkdirTemp(s.dir, "gateway")
	if err != nil {
		return err
	}
	file, addr, err := bench.ChainFile(dir, s.sink.Addr(), chain, telemetry)
	if err != nil {
		return err
	}
	m, err := start(name, addr, bin, "run", "-c", file)
	if err != nil {
		return err
	}
	s.list = append(s.list, m)
	return bench.Introduce(addr)
}

func (s *stand) stop() {
	for _, m := range s.list {
		m.stop()
	}
	s.sink.Close()
}
