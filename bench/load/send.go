package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A client that is told to come again waits so long where as much as possible is sent.
const pause = 20 * time.Millisecond

// sendOrder says what to send, and how fast.
type sendOrder struct {
	Protocol string `json:"protocol"` // grpc or http
	Target   string `json:"target"`   // host:port
	Spans    int    `json:"spans"`    // a request
	// Rate is in spans a second; 0: as many as are taken, Clients at a time.
	Rate    float64 `json:"rate"`
	Seconds float64 `json:"seconds"`
	Clients int     `json:"clients"`
	// Runs is how many flow runs take turns, request by request.
	Runs     int         `json:"runs"`
	Resource []attribute `json:"resource"`
	Span     []attribute `json:"span"`
}

// sent is the answer to it.
type sent struct {
	Requests int            `json:"requests"`
	Refused  map[string]int `json:"refused"` // by what the client was told
	// Latencies are of the requests that were taken, in microseconds. At a rate each counts from when it
	// should have been sent: a server that stalls delays what follows, and that is not left out.
	Latencies []int64 `json:"latencies"`
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu"` // seconds of this process, destination included
}

// load is one order being carried out.
type load struct {
	*sendOrder
	ledger   *ledger
	name     uint32
	template *template
	runs     []flowRun
	client   *http.Client
	buffers  sync.Pool
	mutex    sync.Mutex
	result   sent
}

func send(order *sendOrder, ledger *ledger) (*sent, error) {
	if order.Protocol != "grpc" && order.Protocol != "http" {
		return nil, fmt.Errorf("protocol %q: grpc or http is needed", order.Protocol)
	}
	client := newClient(order.Protocol)
	defer client.CloseIdleConnections()
	current := &load{
		sendOrder: order,
		ledger:    ledger,
		name:      ledger.begin(),
		template:  newTemplate(order.Spans, order.Resource, order.Span),
		runs:      newRuns(max(order.Runs, 1)),
		client:    client,
		result:    sent{Refused: map[string]int{}},
	}
	cpu, started := cpuSeconds(), time.Now()
	if order.Rate > 0 {
		current.atRate()
	} else {
		current.asManyAsAreTaken()
	}
	current.result.Seconds = time.Since(started).Seconds()
	current.result.CPU = cpuSeconds() - cpu
	return &current.result, nil
}

// atRate starts requests when they are due, however long those before them take.
func (l *load) atRate() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	interval := time.Duration(float64(time.Second) * float64(l.Spans) / l.Rate)
	count := max(1, int(l.Seconds*l.Rate)/l.Spans)
	started := time.Now()
	var underWay sync.WaitGroup
	for number := range count {
		body := l.request(number)
		due := started.Add(time.Duration(number) * interval)
		sleepUntil(due)
		underWay.Go(func() { l.post(body, number, due) })
	}
	sleepUntil(started.Add(time.Duration(count) * interval))
	underWay.Wait()
}

// sleepUntil has the kernel wake this thread: Go's own timers are up to a millisecond late.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		wait := syscall.NsecToTimespec(left.Nanoseconds())
		syscall.Nanosleep(&wait, nil) // cut short by a signal, it is called again
	}
}

// asManyAsAreTaken has each client send its next request when the last was answered.
func (l *load) asManyAsAreTaken() {
	deadline := time.Now().Add(time.Duration(l.Seconds * float64(time.Second)))
	var clients sync.WaitGroup
	for client := range l.Clients {
		clients.Go(func() {
			for number := client; time.Now().Before(deadline); number += l.Clients {
				if !l.post(l.request(number), number, time.Now()) {
					time.Sleep(pause)
				}
			}
		})
	}
	clients.Wait()
}

func (l *load) request(number int) []byte {
	buffer, _ := l.buffers.Get().([]byte)
	return l.template.copyTo(buffer, l.name, number*l.Spans, &l.runs[number%len(l.runs)])
}

// post sends a request and notes how it went; it tells whether it was taken.
func (l *load) post(body []byte, number int, due time.Time) bool {
	problem := l.export(body)
	latency := time.Since(due).Microseconds()
	if problem == "" {
		l.buffers.Put(body) // else it may still be on its way
		l.ledger.acknowledge(number*l.Spans, l.Spans)
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.result.Requests++
	if problem == "" {
		l.result.Latencies = append(l.result.Latencies, latency)
	} else {
		l.result.Refused[problem]++
	}
	return problem == ""
}

// export makes the call; it returns why the request was not taken, or nothing.
func (l *load) export(body []byte) string {
	path, kind := "/v1/traces", "application/x-protobuf"
	if l.Protocol == "grpc" {
		path, kind = "/opentelemetry.proto.collector.trace.v1.TraceService/Export", "application/grpc"
	} else {
		body = body[messageHead:]
	}
	request, err := http.NewRequest("POST", "http://"+l.Target+path, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("Te", "trailers")
	response, err := l.client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err.Error()
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Sprintf("HTTP %d", response.StatusCode)
	}
	if l.Protocol == "http" {
		return ""
	}
	// A response without a message has its trailers where headers are.
	for _, trailers := range []http.Header{response.Trailer, response.Header} {
		if status := trailers.Get("Grpc-Status"); status == "0" {
			return ""
		} else if status != "" {
			return fmt.Sprintf("gRPC status %s", status)
		}
	}
	return "no gRPC status"
}

func newClient(protocol string) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == "http")
	protocols.SetUnencryptedHTTP2(protocol == "grpc")
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			Protocols:           &protocols,
			DisableCompression:  true,
			MaxIdleConnsPerHost: 64,
			WriteBufferSize:     64 << 10,
		},
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	seconds := func(of syscall.Timeval) float64 { return float64(of.Sec) + float64(of.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}
