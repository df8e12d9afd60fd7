package crl

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
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

// What a load may take beside the same in the same run (goals of this part of the project).
const (
	loadGoal    = 2.5 // of a bare SHA-256 of the same octets
	memoryGoal  = 64 << 20
	lookupGoal  = 20 * time.Nanosecond
	restartGoal = time.Second
)

// BenchmarkLoad compares a load with a bare SHA-256 pass over the same octets right before it. A load hashes twice, the whole and what is signed,
// on two processors if it can: wall is what a user waits, cpu what it costs.
func BenchmarkLoad(b *testing.B) {
	for _, n := range benchSizes() {
		for _, order := range []string{"sorted", "shuffled"} {
			list := national(n, order == "sorted")
			for _, form := range []string{"stream", "octets"} {
				b.Run(strconv.Itoa(n)+"/"+order+"/"+form, func(b *testing.B) { benchmarkLoad(b, list, form == "stream") })
			}
		}
	}
}

func benchmarkLoad(b *testing.B, list []byte, stream bool) {
	b.SetBytes(int64(len(list)))
	var bare, ours, bareCPU, oursCPU time.Duration
	for b.Loop() {
		at, cpu := time.Now(), processor()
		sha256.Sum256(list)
		bare, bareCPU = bare+time.Since(at), bareCPU+processor()-cpu
		at, cpu = time.Now(), processor()
		var err error
		if stream {
			_, err = load().Read(bytes.NewReader(list))
		} else {
			_, err = load().Octets(list)
		}
		ours, oursCPU = ours+time.Since(at), oursCPU+processor()-cpu
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(ours.Seconds()/bare.Seconds(), "wall/SHA-256")
	b.ReportMetric(oursCPU.Seconds()/bareCPU.Seconds(), "cpu/SHA-256")
	b.ReportMetric(ours.Seconds()/bare.Seconds()/loadGoal, "wall/goal")
	b.ReportMetric(1000*bareCPU.Seconds()/float64(b.N), "SHA-256-cpu-ms")
	b.ReportMetric(1000*oursCPU.Seconds()/float64(b.N), "load-cpu-ms")
}

// BenchmarkLoadMemory reads the list from a file and asks the kernel for the most that was resident beyond what was before and the set itself.
func BenchmarkLoadMemory(b *testing.B) {
	for _, n := range benchSizes() {
		for _, order := range []string{"sorted", "shuffled"} {
			b.Run(strconv.Itoa(n)+"/"+order, func(b *testing.B) {
				path := filepath.Join(b.TempDir(), "list")
				if err := os.WriteFile(path, national(n, order == "sorted"), 0o600); err != nil {
					b.Fatal(err)
				}
				most := 0.0
				for b.Loop() {
					debug.FreeOSMemory()
					before := resident(b, "VmRSS:", true)
					f, err := os.Open(path)
					if err != nil {
						b.Fatal(err)
					}
					s, err := load().Read(f)
					if err != nil {
						b.Fatal(err)
					}
					most = max(most, resident(b, "VmHWM:", false)-before-float64(s.octets()))
					f.Close()
				}
				b.ReportMetric(most/(1<<20), "MiB-beyond-set")
				b.ReportMetric(most/memoryGoal, "memory/goal")
			})
		}
	}
}

// octets is how much of its bitmap, records and overflow a set really uses: pages of the bitmap that no serial touches aren't resident.
func (s *Set) octets() int {
	used := len(s.starts) + len(s.records) + len(s.overflow)
	for page := 0; page < len(s.bitmap); page += 4096 {
		if !bytes.Equal(s.bitmap[page:page+4096], make([]byte, 4096)) {
			used += 4096
		}
	}
	return used
}

// resident reads a line of /proc/self/status, after resetting the highest mark if asked to.
func resident(b *testing.B, field string, reset bool) float64 {
	if reset {
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
			b.Skip("the kernel's highest mark of memory can't be reset here: ", err)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(field)); ok {
			kib, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
			if err != nil {
				b.Fatal(err)
			}
			return float64(kib) * 1024
		}
	}
	b.Fatal("no " + field)
	return 0
}

// BenchmarkLookup asks for a million serials in no order: ones that aren't revoked, as almost all cards are; and revoked ones, with date and reason.
func BenchmarkLookup(b *testing.B) {
	for _, n := range benchSizes() {
		s, err := load().Octets(national(n, true))
		if err != nil {
			b.Fatal(err)
		}
		good, revoked := make([][4]byte, 1<<20), make([][4]byte, 1<<20)
		rng := rand.New(rand.NewPCG(2, 3))
		for i := range good {
			for binary.BigEndian.PutUint32(good[i][:], uint32(1<<24+rng.IntN(1<<28-1<<24))); s.Contains(good[i][:]); {
				binary.BigEndian.PutUint32(good[i][:], uint32(1<<24+rng.IntN(1<<28-1<<24)))
			}
			r := binary.LittleEndian.Uint64(s.records[recordSize*rng.IntN(n):])
			binary.BigEndian.PutUint32(revoked[i][:], uint32(r>>serialShift))
		}
		var cost [2]float64
		b.Run(strconv.Itoa(n)+"/bare", func(b *testing.B) { // the same octets of the bitmap, and nothing else
			i, found, cpu := 0, byte(0), processor()
			for b.Loop() {
				v := binary.BigEndian.Uint32(good[i&(1<<20-1)][:])
				found |= s.bitmap[v>>3] >> (v & 7) & 1
				i++
			}
			if found != 0 {
				b.Fatal("wrong")
			}
			cost[0] = float64(processor()-cpu) / float64(b.N)
			b.ReportMetric(cost[0], "cpu-ns")
		})
		for name, serials := range map[string][][4]byte{"good": good, "revoked": revoked} {
			b.Run(strconv.Itoa(n)+"/"+name, func(b *testing.B) {
				i, issuer, cpu := 0, s.Info().Issuer, processor()
				for b.Loop() {
					if _, found := s.Lookup(issuer, serials[i&(1<<20-1)][:]); found != (name == "revoked") {
						b.Fatal("wrong")
					}
					i++
				}
				cost[1] = float64(processor()-cpu) / float64(b.N)
				b.ReportMetric(cost[1], "cpu-ns")
				b.ReportMetric(cost[1]/cost[0], "cpu/bare")
				b.ReportMetric(cost[1]/float64(lookupGoal), "cpu/goal")
			})
		}
	}
}

// BenchmarkRestart maps a snapshot and checks it: from nothing to the first answer.
func BenchmarkRestart(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s, err := load().Octets(national(n, true))
			if err != nil {
				b.Fatal(err)
			}
			f, err := os.Create(filepath.Join(b.TempDir(), "snapshot"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			digest, err := s.WriteSnapshot(f)
			if err != nil {
				b.Fatal(err)
			}
			info, err := f.Stat()
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(info.Size())
			cpu := processor()
			for b.Loop() {
				data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
				if err != nil {
					b.Fatal(err)
				}
				o, err := OpenSnapshot(data, digest)
				if err != nil {
					b.Fatal(err)
				}
				o.Contains([]byte{1, 2, 3, 4})
				if err := syscall.Munmap(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(restartGoal), "restart/goal")
			b.ReportMetric(1000*(processor()-cpu).Seconds()/float64(b.N), "cpu-ms")
		})
	}
}

// BenchmarkParseRevocationList is the standard library on the same list: a million entries, and more with MUSUBI_CRL_X509=1.
func BenchmarkParseRevocationList(b *testing.B) {
	sizes := []int{1_000_000}
	if os.Getenv("MUSUBI_CRL_X509") != "" {
		sizes = benchSizes()
	}
	for _, n := range sizes {
		list := national(n, true)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(list)))
			var bareCPU, theirs time.Duration
			for b.Loop() {
				cpu := processor()
				sha256.Sum256(list)
				bareCPU += processor() - cpu
				cpu = processor()
				if _, err := x509.ParseRevocationList(list); err != nil {
					b.Fatal(err)
				}
				theirs += processor() - cpu
			}
			b.ReportMetric(theirs.Seconds()/bareCPU.Seconds(), "cpu/SHA-256")
		})
	}
}
