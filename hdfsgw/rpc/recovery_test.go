package rpc

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// TestAWriterGetsAnotherTicket makes the calls of a client whose connections to data nodes break, one after the other.
func TestAWriterGetsAnotherTicket(t *testing.T) {
	c := newCluster(t, Options{})
	w := c.dial(t, helloSimple)
	w.meet("root", "")
	calls := int32(0)
	ask := func(method string, request, answer proto.Message) *hadoop.RpcResponseHeader {
		t.Helper()
		calls++
		w.ask(calls, method, request)
		return w.answer(answer)
	}
	me := proto.String("me")
	var file hadoop.StatusResponse
	ask("create", &hadoop.CreateRequest{Src: proto.String("/f"), ClientName: me, CreateFlag: proto.Uint32(1),
		Masked: &hadoop.FsPermission{Perm: proto.Uint32(0o644)}, CreateParent: proto.Bool(true),
		Replication: proto.Uint32(1), BlockSize: proto.Uint64(1 << 20)}, &file)
	var r hadoop.LocatedBlockResponse
	ask("addBlock", &hadoop.AddBlockRequest{Src: proto.String("/f"), ClientName: me, FileId: file.GetFs().FileId}, &r)
	first := r.GetBlock()
	if len(first.GetLocations()) != 2 {
		t.Fatalf("a client that loses its connection has nowhere to go: %v", first.GetLocations())
	}
	block := first.GetBlock()
	block.NumBytes = proto.Uint64(1000)
	update := &hadoop.BlockForPipelineRequest{Block: block, ClientName: me}
	ask("updateBlockForPipeline", update, &r)
	if got := r.GetBlock(); !proto.Equal(got.GetBlock(), block) || len(got.GetToken().GetIdentifier()) == 0 {
		t.Error(got)
	}
	update.ClientName = proto.String("somebody else")
	const expired = "org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException"
	if h := ask("updateBlockForPipeline", update, nil); h.GetExceptionClass() != expired {
		t.Error(h)
	}

	seen := map[string]bool{}
	for _, node := range first.GetLocations() {
		seen[node.GetId().GetUuid()] = true
	}
	more := &hadoop.GetAdditionalDatanodeRequest{Src: proto.String("/f"), Block: block, ClientName: me,
		Existing: first.GetLocations()[1:], Excluded: first.GetLocations()[:1]}
	for range 3 {
		ask("getAdditionalDatanode", more, &r)
		all := r.GetBlock().GetLocations()
		joined := all[len(all)-1]
		if len(all) != len(more.Existing)+1 || len(r.GetBlock().GetStorageIds()) != len(all) ||
			len(r.GetBlock().GetStorageTypes()) != len(all) || seen[joined.GetId().GetUuid()] {
			t.Fatal(r.GetBlock())
		}
		seen[joined.GetId().GetUuid()] = true
		more.Existing = all
	}
	more.ClientName = proto.String("somebody else")
	if h := ask("getAdditionalDatanode", more, nil); h.GetExceptionClass() != expired {
		t.Error(h)
	}
}

// TestTheDataIsWhereItIsSaid gives the data node the name that clients know it by.
func TestTheDataIsWhereItIsSaid(t *testing.T) {
	w := newCluster(t, Options{Host: "files.example.org"}).dial(t, helloSimple)
	w.meet("root", "")
	w.ask(1, "getDatanodeReport", &hadoop.GetDatanodeReportRequest{Type: proto.Uint32(1)})
	var r hadoop.GetDatanodeReportResponse
	w.answer(&r)
	for _, node := range r.GetNodes() {
		if id := node.GetId(); id.GetHostName() != "files.example.org" || id.GetIpAddr() != "files.example.org" {
			t.Error(id)
		}
	}
}
