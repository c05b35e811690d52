package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Field 2 of a Span, eight bytes long: its id. A parent's id is field 4.
var spanIDField = []byte{0x12, idSize}

// The id of a segment within PutTraceSegments' list of documents, which are JSON in JSON strings.
var segmentIDField = []byte(`\"id\":\"`)

var gzipMagic = []byte{0x1f, 0x8b}

// serve answers on a free port of loopback, whatever is spoken there, as these do:
//
//	an OTLP/gRPC and an OTLP/HTTP receiver, for traces
//	X-Ray's PutTraceSegments
//	Prefect's API, for flow runs, flows and deployments
//
// Requests are not parsed: ids are found by searching, so that answering costs as little as it can.
func serve(ledger *ledger) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /opentelemetry.proto.collector.trace.v1.TraceService/Export", ledger.grpc)
	mux.HandleFunc("POST /v1/traces", ledger.otlpHTTP)
	mux.HandleFunc("POST /TraceSegments", ledger.xray)
	mux.HandleFunc("GET /api/{kind}/{id}", prefectAPI)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:   mux,
		Protocols: &protocols,
		HTTP2:     &http.HTTP2Config{MaxReceiveBufferPerConnection: 16 << 20, MaxReceiveBufferPerStream: 8 << 20},
	}
	go func() { panic(server.Serve(listener)) }()
	return listener.Addr().String(), nil
}

func (l *ledger) grpc(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err == nil {
		err = l.deliverMessages(body)
	}
	answer.Header().Set("Content-Type", "application/grpc")
	status := "0"
	if err != nil {
		status = "3" // INVALID_ARGUMENT
		answer.Header().Set(http.TrailerPrefix+"Grpc-Message", err.Error())
	}
	answer.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
	answer.Write(make([]byte, messageHead)) // an empty ExportTraceServiceResponse
}

// deliverMessages reads length-prefixed messages: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
func (l *ledger) deliverMessages(body []byte) error {
	for len(body) > 0 {
		if len(body) < messageHead {
			return fmt.Errorf("a message ends in its head")
		}
		size := int(binary.BigEndian.Uint32(body[1:messageHead]))
		compressed, rest := body[0] == 1, body[messageHead:]
		if len(rest) < size {
			return fmt.Errorf("a message is shorter than it says")
		}
		message := rest[:size]
		if compressed {
			var err error
			if message, err = gunzip(bytes.NewReader(message)); err != nil {
				return err
			}
		}
		l.deliverSpans(message)
		body = rest[size:]
	}
	return nil
}

func (l *ledger) otlpHTTP(answer http.ResponseWriter, request *http.Request) {
	body, err := read(request)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	l.deliverSpans(body)
	answer.Header().Set("Content-Type", "application/x-protobuf")
}

func (l *ledger) xray(answer http.ResponseWriter, request *http.Request) {
	body, err := read(request)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	l.deliverSegments(body)
	answer.Header().Set("Content-Type", "application/json")
	io.WriteString(answer, `{"UnprocessedTraceSegments":[]}`)
}

func (l *ledger) deliverSpans(body []byte) {
	prefix := l.prefix()
	needle := append(bytes.Clone(spanIDField), prefix[:]...)
	var ids [][idSize]byte
	for {
		at := bytes.Index(body, needle)
		if at < 0 || len(body) < at+len(spanIDField)+idSize {
			break
		}
		at += len(spanIDField)
		ids = append(ids, [idSize]byte(body[at:at+idSize]))
		body = body[at+idSize:]
	}
	l.deliver(ids)
}

func (l *ledger) deliverSegments(body []byte) {
	prefix := l.prefix()
	needle := append(bytes.Clone(segmentIDField), hex.EncodeToString(prefix[:])...)
	var ids [][idSize]byte
	for {
		at := bytes.Index(body, needle)
		if at < 0 || len(body) < at+len(segmentIDField)+2*idSize {
			break
		}
		at += len(segmentIDField)
		if id, ok := idFromHex(body[at : at+2*idSize]); ok {
			ids = append(ids, id)
		}
		body = body[at+2*idSize:]
	}
	l.deliver(ids)
}

// prefectAPI knows every flow run, flow and deployment.
func prefectAPI(answer http.ResponseWriter, request *http.Request) {
	id := request.PathValue("id")
	kind := strings.TrimSuffix(request.PathValue("kind"), "s")
	answer.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(answer, `{"id": %q, "name": "%s-%.8s", "flow_id": "f1", "deployment_id": "d1", "run_count": 1, `+
		`"tags": ["nightly", "sales"], "work_pool_name": "ecs", "work_queue_name": "default", `+
		`"estimated_start_time_delta": 1.5, "auto_scheduled": true}`, id, kind, id)
}

// read goes by the body and not by the header: rotel's X-Ray exporter says gzip and sends plain JSON.
func read(request *http.Request) ([]byte, error) {
	body, err := io.ReadAll(request.Body)
	if err == nil && bytes.HasPrefix(body, gzipMagic) {
		return gunzip(bytes.NewReader(body))
	}
	return body, err
}

func gunzip(compressed io.Reader) ([]byte, error) {
	reader, err := gzip.NewReader(compressed)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}
