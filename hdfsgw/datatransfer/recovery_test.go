package datatransfer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

const streams = hadoop.OpWriteBlock_PIPELINE_SETUP_STREAMING_RECOVERY

// lines are as many bytes of text, each part of which is another.
func lines(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()[:n]
}

// TestAWriterGoesOn breaks the connection in the midst of a block, not knowing whether the last packets arrived; or
// leaves it as it is, as when only the client knows that it broke.
func TestAWriterGoesOn(t *testing.T) {
	for name, broken := range map[string]bool{"broken": true, "forgotten": false} {
		t.Run(name, func(t *testing.T) {
			within(t, mem.New(), func(tr *trial) {
				data := lines(120_000)
				tr.startWrite(tr.ticket())
				tr.packet(0, []byte(data[:40_000]), nil)
				tr.packet(40_000, []byte(data[40_000:80_000]), nil)
				old := tr.ended
				if !broken {
					tr.nc = nil
				}
				tr.dial()
				if tr.enter(tr.ticket(), streams, 40_000) != ok {
					t.Fatal("refused")
				}
				if !broken && <-old == nil {
					t.Error("the old connection has ended well")
				}
				for at := 40_000; at < len(data); at += 40_000 {
					if tr.packet(int64(at), []byte(data[at:at+40_000]), nil) != ok {
						t.Fatal("refused at", at)
					}
				}
				tr.packet(int64(len(data)), nil, last)
				if err := tr.finish(); err != nil || tr.content() != data {
					t.Errorf("the file has %d bytes: %v", len(tr.content()), err)
				}
			})
		})
	}
}

// TestAWriterHearsOfTheEnd breaks the connection after the last packet, whose acknowledgement is lost.
func TestAWriterHearsOfTheEnd(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		data := lines(40_000)
		tr.startWrite(tr.ticket())
		tr.packet(0, []byte(data), nil)
		tr.packet(40_000, nil, last)
		tr.dial()
		if tr.enter(tr.ticket(), closes, 40_000) != ok {
			t.Fatal("refused")
		}
		second := tr.ticket() // the connection is free for the next operation
		second.Start = 40_000
		if tr.startWrite(second) != ok || tr.packet(0, []byte("more"), nil) != ok || tr.packet(4, nil, last) != ok {
			t.Error("the next block is refused")
		}
		if err := tr.finish(); err != nil || tr.content() != data+"more" {
			t.Errorf("the file has %d bytes: %v", len(tr.content()), err)
		}
	})
}

// TestNobodyGoesOnAfterAGap has lost what was acknowledged: the writer is told, the block does not go on without it.
func TestNobodyGoesOnAfterAGap(t *testing.T) {
	full := errs.E("disk", errs.Exhausted, nil, nil)
	st := fault.New(mem.New(), 1, fault.Rule{Op: around.Commit, Match: block.Prefix, Nth: 1, Err: full})
	within(t, st, func(tr *trial) {
		tr.startWrite(tr.ticket())
		tr.packet(0, []byte(lines(40_000)), nil)
		tr.dial()
		for _, stage := range []hadoop.OpWriteBlock_Stage{streams, closes} {
			if got := tr.enter(tr.ticket(), stage, 40_000); got != hadoop.Status_ERROR {
				t.Errorf("%v: %v", stage, got)
			}
		}
		before := tr.ticket()
		before.Start = 1 << 40
		if got := tr.enter(before, streams, 0); got != hadoop.Status_ERROR {
			t.Errorf("a block that begins beyond the end: %v", got)
		}
		if got := tr.enter(tr.ticket(), hadoop.OpWriteBlock_TRANSFER_RBW, 0); got != hadoop.Status_ERROR_UNSUPPORTED {
			t.Error(got)
		}
	})
}

// TestWhoHasLostHisLeaseDoesNotGoOn recovers a file that somebody writes, who comes back.
func TestWhoHasLostHisLeaseDoesNotGoOn(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		tr.startWrite(tr.ticket())
		tr.packet(0, []byte(lines(40_000)), nil)
		tr.dial()
		take := namespace.Request{Op: namespace.OpRecoverLease, Caller: root, Path: "/f"}
		if _, err := tr.names.Do(tr.t.Context(), take); err != nil {
			t.Fatal(err)
		}
		if got := tr.enter(tr.ticket(), streams, 40_000); got != hadoop.Status_ERROR {
			t.Error(got)
		}
		if tr.content() != lines(40_000) {
			t.Error("what he had written is lost")
		}
	})
}

// TestABlockIsTransferred asks for a copy of a block for a data node that joins the pipeline.
func TestABlockIsTransferred(t *testing.T) {
	within(t, mem.New(), func(tr *trial) {
		write := tr.ticket()
		if r := tr.ask(opTransfer, &hadoop.OpTransferBlock{Header: header(write, tr.Issue(write))}); r.GetStatus() != ok {
			t.Error(r)
		}
		read := Ticket{Block: write.Block}
		r := tr.ask(opTransfer, &hadoop.OpTransferBlock{Header: header(read, tr.Issue(read))})
		if r.GetStatus() != hadoop.Status_ERROR_ACCESS_TOKEN {
			t.Error(r)
		}
	})
}
