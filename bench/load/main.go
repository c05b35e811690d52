// Load sends spans at a rate, and is the destination where they end up.
//
// One process is both, so that it can tell which of the spans that were acknowledged to it came out at the
// other end. It takes orders on stdin and answers on stdout, a JSON object a line each. It has no
// dependencies: gRPC is spoken with net/http, which has HTTP/2 without TLS and trailers.
//
// It ends when stdin does.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
)

// order is a line of stdin.
type order struct {
	Send   *sendOrder   `json:"send"`
	Settle *settleOrder `json:"settle"`
}

func main() {
	// It shares the machine with what is measured: rarer garbage collections disturb less.
	debug.SetGCPercent(400)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run() error {
	ledger := &ledger{}
	address, err := serve(ledger)
	if err != nil {
		return err
	}
	answers := json.NewEncoder(os.Stdout)
	if err := answers.Encode(map[string]string{"address": address}); err != nil {
		return err
	}
	orders := json.NewDecoder(bufio.NewReader(os.Stdin))
	for orders.More() {
		var next order
		if err := orders.Decode(&next); err != nil {
			return fmt.Errorf("an order that is no JSON: %w", err)
		}
		var answer any
		switch {
		case next.Send != nil:
			answer, err = send(next.Send, ledger)
		case next.Settle != nil:
			answer = ledger.settle(next.Settle)
		default:
			err = fmt.Errorf("an order that is neither send nor settle")
		}
		if err != nil {
			return err
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}
