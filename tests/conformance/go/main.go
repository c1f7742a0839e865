// Command go_spiffe follows the Workload API with go-spiffe's X509Source, and prints what it sees:
// the errors on the way, then "svid ID serial=HEX expires=TIME" at the first SVID and at each
// rotation. It takes the socket from SPIFFE_ENDPOINT_SOCKET.
//
// With --rotations N it ends well after so many rotations; without, on SIGTERM. --want-denied
// makes it an error if the first SVID came without PermissionDenied before it.
package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// printer is the source's logger; it remembers whether the caller was denied.
type printer struct{ denied atomic.Bool }

func (p *printer) print(level, format string, args ...interface{}) {
	line := fmt.Sprintf(format, args...)
	if strings.Contains(line, "PermissionDenied") {
		p.denied.Store(true)
	}
	fmt.Println(level, line)
}
func (p *printer) Debugf(format string, args ...interface{}) { p.print("debug", format, args...) }
func (p *printer) Infof(format string, args ...interface{})  { p.print("info", format, args...) }
func (p *printer) Warnf(format string, args ...interface{})  { p.print("warning", format, args...) }
func (p *printer) Errorf(format string, args ...interface{}) { p.print("error", format, args...) }

// check holds the SVID against the bundle that the source has for its trust domain.
func check(source *workloadapi.X509Source) (*x509svid.SVID, error) {
	svid, err := source.GetX509SVID()
	if err != nil {
		return nil, err
	}
	id, _, err := x509svid.Verify(svid.Certificates, source)
	if err != nil {
		return nil, err
	}
	if id != svid.ID {
		return nil, fmt.Errorf("the chain is of %s, the SVID of %s", id, svid.ID)
	}
	return svid, nil
}

func show(leaf *x509.Certificate, id string) {
	fmt.Printf("svid %s serial=%x expires=%s\n", id, leaf.SerialNumber,
		leaf.NotAfter.UTC().Format(time.RFC3339))
}

func run(rotations int, wantDenied bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := &printer{}
	source, err := workloadapi.NewX509Source(ctx,
		workloadapi.WithClientOptions(workloadapi.WithLogger(log)))
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer source.Close()
	if wantDenied && !log.denied.Load() {
		return fmt.Errorf("an SVID came without PermissionDenied before it")
	}
	last := ""
	for seen := -1; rotations < 0 || seen < rotations; {
		svid, err := check(source)
		if err != nil {
			return err
		}
		leaf := svid.Certificates[0]
		if serial := leaf.SerialNumber.String(); serial != last {
			last = serial
			seen++
			show(leaf, svid.ID.String())
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-source.Updated():
		}
	}
	return nil
}

func main() {
	rotations := flag.Int("rotations", -1, "end after so many rotations; -1: on SIGTERM")
	wantDenied := flag.Bool("want-denied", false, "fail unless PermissionDenied came first")
	flag.Parse()
	if err := run(*rotations, *wantDenied); err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}
