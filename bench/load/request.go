package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// An attribute with this value says the request's flow run: it has the length of a UUID.
const runPlaceholder = "00000000-0000-4000-8000-00000000cafe"

// What precedes the message of a gRPC call: a flag and four bytes of length.
const messageHead = 5

var (
	spanPlaceholder  = [idSize]byte{0xfa, 0xfb, 0xfc, 0xfd, 0xfa, 0xfb, 0xfc, 0xfd}
	tracePlaceholder = [16]byte{0xea, 0xeb, 0xec, 0xed, 0xea, 0xeb, 0xec, 0xed, 0xea, 0xeb, 0xec, 0xed, 0xea, 0xeb, 0xec, 0xed}
)

// template is an ExportTraceServiceRequest that is encoded once; each request is a copy with other ids.
type template struct {
	// bytes begin with the head of a gRPC message.
	bytes  []byte
	spans  []int // where span ids stand
	traces []int // where trace ids stand
	runs   []int // where the flow run id stands in text
}

// flowRun is a flow run id, and the trace id that is made of it.
type flowRun struct {
	text  string
	trace [16]byte
}

// attribute is a string or a whole number under a key.
type attribute struct {
	Key  string `json:"key"`
	Text string `json:"text"`
	Int  int64  `json:"int"`
}

func newTemplate(spans int, resource, ofSpan []attribute) *template {
	var scope []byte
	scope = message(scope, 1, text(text(nil, 1, "bench.load"), 2, "1.0"))
	now := uint64(time.Now().UnixNano())
	for span := range spans {
		scope = message(scope, 2, encodeSpan(now+uint64(span)*1000, ofSpan))
	}
	var ofResource []byte
	for _, each := range resource {
		ofResource = message(ofResource, 1, encodeAttribute(each))
	}
	body := message(nil, 1, message(message(nil, 1, ofResource), 2, scope))
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	made := &template{bytes: append(head, body...)}
	made.spans = positions(made.bytes, spanPlaceholder[:])
	made.traces = positions(made.bytes, tracePlaceholder[:])
	made.runs = positions(made.bytes, []byte(runPlaceholder))
	return made
}

// copyTo writes a request with ids of its own into a buffer and returns it.
func (t *template) copyTo(buffer []byte, load uint32, first int, of *flowRun) []byte {
	buffer = append(buffer[:0], t.bytes...)
	for number, at := range t.spans {
		id := spanID(load, first+number)
		copy(buffer[at:], id[:])
	}
	for _, at := range t.traces {
		copy(buffer[at:], of.trace[:])
	}
	for _, at := range t.runs {
		copy(buffer[at:], of.text)
	}
	return buffer
}

// newRuns makes random flow runs.
func newRuns(count int) []flowRun {
	made := make([]flowRun, count)
	for number := range made {
		id := &made[number].trace
		rand.Read(id[:])
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // UUID version 4
		digits := hex.EncodeToString(id[:])
		made[number].text = fmt.Sprintf("%s-%s-%s-%s-%s", digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
	}
	return made
}

// encodeSpan makes a finished client span with a parent in the same process, 12 ms long.
func encodeSpan(start uint64, attributes []attribute) []byte {
	span := message(nil, 1, tracePlaceholder[:])
	span = message(span, 2, spanPlaceholder[:])
	span = message(span, 4, []byte{0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31})
	span = text(span, 5, "load-orders")
	span = number(span, 6, 3) // SPAN_KIND_CLIENT
	span = fixed64(span, 7, start)
	span = fixed64(span, 8, start+12_000_000)
	for _, each := range attributes {
		span = message(span, 9, encodeAttribute(each))
	}
	span = message(span, 15, number(nil, 3, 1)) // STATUS_CODE_OK
	return binary.LittleEndian.AppendUint32(tag(span, 16, 5), 0x101)
}

func encodeAttribute(each attribute) []byte {
	value := text(nil, 1, each.Text)
	if each.Text == "" {
		value = number(nil, 3, uint64(each.Int))
	}
	return message(text(nil, 1, each.Key), 2, value)
}

// The encoding of protobuf: https://protobuf.dev/programming-guides/encoding/.

func tag(to []byte, field, wireType uint64) []byte {
	return binary.AppendUvarint(to, field<<3|wireType)
}

func number(to []byte, field, value uint64) []byte {
	return binary.AppendUvarint(tag(to, field, 0), value)
}

func fixed64(to []byte, field, value uint64) []byte {
	return binary.LittleEndian.AppendUint64(tag(to, field, 1), value)
}

func message(to []byte, field uint64, value []byte) []byte {
	return append(binary.AppendUvarint(tag(to, field, 2), uint64(len(value))), value...)
}

func text(to []byte, field uint64, value string) []byte {
	return message(to, field, []byte(value))
}

func positions(body, of []byte) []int {
	var found []int
	for from := 0; ; {
		at := bytes.Index(body[from:], of)
		if at < 0 {
			return found
		}
		found = append(found, from+at)
		from += at + len(of)
	}
}
