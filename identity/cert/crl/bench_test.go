package crl

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// national makes a list of that many entries of 37 octets with serials of 28 bits, in the order of serials or in no order.
func national(count int, sorted bool) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(count)))
	entries := make([]byte, 0, 37*count)
	reasonTail := reason(5)
	serial := uint64(1 << 24) // four octets
	step := max((1<<28-1<<24-1)/count, 1)
	write := func(serial uint64, at time.Time) {
		entries = append(entries, 0x30, 35, 2, 4)
		entries = binary.BigEndian.AppendUint32(entries, uint32(serial))
		entries = append(entries, 0x17, 13)
		entries = at.AppendFormat(entries, "060102150405Z")
		entries = append(entries, 0x30, 12)
		entries = append(entries, reasonTail...)
	}
	serials := make([]uint64, count)
	for i := range serials {
		serials[i] = serial
		serial += uint64(1 + rng.IntN(step))
	}
	if !sorted {
		rng.Shuffle(count, func(i, j int) { serials[i], serials[j] = serials[j], serials[i] })
	}
	for _, s := range serials {
		write(s, thisUpdate.Add(-time.Duration(rng.IntN(5*365*86400))*time.Second))
	}
	return draft{revoked: der.Wrap(der.Sequence, entries)}.make()
}

// benchSizes is how many entries the benchmarks take: a million, and with MUSUBI_CRL_ENTRIES=5000000,10000000 others.
func benchSizes() []int {
	sizes := []int{1_000_000}
	if more := os.Getenv("MUSUBI_CRL_ENTRIES"); more != "" {
		sizes = nil
		for _, s := range bytes.Split([]byte(more), []byte{','}) {
			n, err := strconv.Atoi(string(s))
			if err != nil {
				panic(err)
			}
			sizes = append(sizes, n)
		}
	}
	return sizes
}

// processor is the time that this process has used of all processors: on a machine with other work the only time that means anything.
func processor() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		panic(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func load() Load {
	return Load{Key: rsaSigner().pub, Policy: anySignature, Bits: DefaultBits}
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range benchSizes() {
		for _, sorted := range []bool{true, false} {
			list := national(n, sorted)
			order := "sorted"
			if !sorted {
				order = "shuffled"
			}
			for _, form := range []string{"stream", "octets"} {
				b.Run(strconv.Itoa(n)+"/"+order+"/"+form, func(b *testing.B) {
					b.SetBytes(int64(len(list)))
					var bare, ours, bareCPU, oursCPU time.Duration
					for b.Loop() {
						runtime.GC()
						at, cpu := time.Now(), processor()
						sha256.Sum256(list)
						bare, bareCPU = bare+time.Since(at), bareCPU+processor()-cpu
						at, cpu = time.Now(), processor()
						var err error
						if form == "stream" {
							_, err = load().Read(bytes.NewReader(list))
						} else {
							_, err = load().Octets(list)
						}
						ours, oursCPU = ours+time.Since(at), oursCPU+processor()-cpu
						if err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(ours.Seconds()/bare.Seconds(), "wall-ratio")
					b.ReportMetric(oursCPU.Seconds()/bareCPU.Seconds(), "cpu-ratio")
					b.ReportMetric(float64(bareCPU.Microseconds())/1000/float64(b.N), "sha256-cpu-ms")
					b.ReportMetric(float64(oursCPU.Microseconds())/1000/float64(b.N), "load-cpu-ms")
				})
			}
		}
	}
}

func BenchmarkParseRevocationList(b *testing.B) {
	list := national(1_000_000, true)
	for b.Loop() {
		if _, err := x509.ParseRevocationList(list); err != nil {
			b.Fatal(err)
		}
	}
}
