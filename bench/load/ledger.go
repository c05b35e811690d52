package main

import (
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// A span id is four bytes that name the load it belongs to, and four that count. So the destination finds
// the ids of a load by searching for bytes, and the books are a byte a span.
const idSize = 8

// ledger knows of the current load which spans were acknowledged and how often each was delivered.
type ledger struct {
	mutex        sync.Mutex
	load         uint32
	acknowledged []bool
	delivered    []uint8
	changed      time.Time
}

// settleOrder has the books closed once all that was acknowledged is delivered, or nothing came for so long.
type settleOrder struct {
	QuietSeconds float64 `json:"quiet_seconds"`
}

// accounts is the answer to it.
type accounts struct {
	Acknowledged int `json:"acknowledged"`
	Lost         int `json:"lost"`
	Duplicates   int `json:"duplicates"`
	// LastDelivery is when the last span came, in seconds before now.
	LastDelivery float64 `json:"last_delivery"`
}

// begin opens the books of a new load and returns its name.
func (l *ledger) begin() uint32 {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.load = max(l.load, 0x6c6f6164) + 1 // never zero: X-Ray takes an id of zeros for none
	l.acknowledged, l.delivered = nil, nil
	l.changed = time.Now()
	return l.load
}

// acknowledge notes that spans first, first+1, … were taken.
func (l *ledger) acknowledge(first, count int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.acknowledged = grown(l.acknowledged, first+count)
	for span := first; span < first+count; span++ {
		l.acknowledged[span] = true
	}
}

// deliver notes spans that came out; ids of other loads are left out.
func (l *ledger) deliver(ids [][idSize]byte) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, id := range ids {
		if binary.BigEndian.Uint32(id[:4]) != l.load {
			continue
		}
		span := int(binary.BigEndian.Uint32(id[4:]))
		l.delivered = grown(l.delivered, span+1)
		if l.delivered[span] < 255 {
			l.delivered[span]++
		}
		l.changed = time.Now()
	}
}

// prefix returns what the ids of the current load begin with.
func (l *ledger) prefix() [4]byte {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var prefix [4]byte
	binary.BigEndian.PutUint32(prefix[:], l.load)
	return prefix
}

func (l *ledger) settle(order *settleOrder) accounts {
	for {
		found := l.accounts()
		if found.Lost == 0 || found.LastDelivery > order.QuietSeconds {
			return found
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *ledger) accounts() accounts {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	result := accounts{LastDelivery: time.Since(l.changed).Seconds()}
	for span, acknowledged := range l.acknowledged {
		times := 0
		if span < len(l.delivered) {
			times = int(l.delivered[span])
		}
		if acknowledged {
			result.Acknowledged++
			if times == 0 {
				result.Lost++
			}
		}
		result.Duplicates += max(0, times-1)
	}
	return result
}

func grown[T any](list []T, size int) []T {
	if missing := size - len(list); missing > 0 {
		return append(list, make([]T, missing)...)
	}
	return list
}

func spanID(load uint32, span int) [idSize]byte {
	var id [idSize]byte
	binary.BigEndian.PutUint32(id[:4], load)
	binary.BigEndian.PutUint32(id[4:], uint32(span))
	return id
}

func idFromHex(digits []byte) (id [idSize]byte, ok bool) {
	_, err := hex.Decode(id[:], digits)
	return id, err == nil
}
