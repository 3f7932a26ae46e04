package rpc

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// wire speaks the protocol byte by byte.
type wire struct {
	t  *testing.T
	nc net.Conn
	in *bufio.Reader
	id []byte // of the client
}

func (c *cluster) dial(t *testing.T, hello string) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	w := &wire{t, nc, bufio.NewReader(nc), []byte("0123456789abcdef")}
	w.write([]byte(hello))
	return w
}

const helloSimple, helloSASL = "hrpc\x09\x00\x00", "hrpc\x09\x00\xdf"

func (w *wire) write(b []byte) {
	w.t.Helper()
	if _, err := w.nc.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// frame makes a frame of messages.
func frame(t testing.TB, parts ...proto.Message) []byte {
	t.Helper()
	b := make([]byte, 4)
	for _, m := range parts {
		var err error
		if b, err = appendMessage(b, m); err != nil {
			t.Fatal(err)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (w *wire) header(call int32) *hadoop.RpcRequestHeader {
	return &hadoop.RpcRequestHeader{RpcKind: proto.Uint32(protobufKind), CallId: &call, ClientId: w.id}
}

func (w *wire) meet(user, real string) {
	w.t.Helper()
	u := &hadoop.UserInformation{EffectiveUser: &user}
	if real != "" {
		u.RealUser = &real
	}
	w.write(frame(w.t, w.header(callContext), &hadoop.IpcConnectionContext{UserInfo: u}))
}

func (w *wire) ask(call int32, method string, request proto.Message) {
	w.t.Helper()
	h := &hadoop.RequestHeader{MethodName: &method, DeclaringClass: proto.String(clientProtocol),
		ClientProtocolVersion: proto.Uint64(1)}
	w.write(frame(w.t, w.header(call), h, request))
}

// answer reads an answer, into m if it is a success.
func (w *wire) answer(m proto.Message) *hadoop.RpcResponseHeader {
	w.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(w.in, size[:]); err != nil {
		w.t.Fatal(err)
	}
	all := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(w.in, all); err != nil {
		w.t.Fatal(err)
	}
	var h hadoop.RpcResponseHeader
	rest, err := next(all, &h)
	if err == nil && h.GetStatus() == hadoop.RpcResponseHeader_SUCCESS && m != nil {
		_, err = next(rest, m)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return &h
}

func TestARetryGetsTheFirstAnswer(t *testing.T) {
	c := newCluster(t, Options{})
	w := c.dial(t, helloSimple)
	w.meet("root", "")
	result := func(call int32, method string, request proto.Message) bool {
		t.Helper()
		w.ask(call, method, request)
		var r hadoop.BoolResponse
		if h := w.answer(&r); h.GetStatus() != hadoop.RpcResponseHeader_SUCCESS || h.GetCallId() != uint32(call) {
			t.Fatal(h)
		}
		return r.GetResult()
	}
	mkdir := &hadoop.MkdirsRequest{Src: proto.String("/d"), Masked: &hadoop.FsPermission{Perm: proto.Uint32(0o755)},
		CreateParent: proto.Bool(true)}
	remove := &hadoop.DeleteRequest{Src: proto.String("/d"), Recursive: proto.Bool(false)}
	if !result(1, "mkdirs", mkdir) || !result(2, "delete", remove) {
		t.Fatal("it did not begin well")
	}
	again := c.dial(t, helloSimple) // the answer was lost with the connection
	again.meet("root", "")
	w = again
	if !result(2, "delete", remove) {
		t.Error("the second time it was not done, as if the first had not been the same")
	}
	if result(3, "delete", remove) {
		t.Error("what is gone was deleted")
	}
	other := c.dial(t, helloSimple) // the same ids of another user are another operation
	other.meet("eve", "")
	w = other
	if result(2, "delete", remove) {
		t.Error("an answer went to another user")
	}
}

// TestCallsOverlap sends many calls before it reads an answer.
func TestCallsOverlap(t *testing.T) {
	c := newCluster(t, Options{})
	w := c.dial(t, helloSimple)
	w.meet("root", "")
	const n = 3 * maxCalls
	for i := range int32(n) {
		if i%3 == 0 {
			w.ask(i, "mkdirs", &hadoop.MkdirsRequest{Src: proto.String("/a/b/c"),
				Masked: &hadoop.FsPermission{Perm: proto.Uint32(0o755)}, CreateParent: proto.Bool(true)})
		} else {
			w.ask(i, "getFileInfo", &hadoop.PathRequest{Path: proto.String("/")})
		}
	}
	w.write(frame(t, w.header(callPing)))
	seen := map[uint32]bool{}
	for range n {
		h := w.answer(nil)
		if h.GetStatus() != hadoop.RpcResponseHeader_SUCCESS || string(h.GetClientId()) != string(w.id) {
			t.Fatal(h)
		}
		seen[h.GetCallId()] = true
	}
	if len(seen) != n {
		t.Errorf("%d answers", len(seen))
	}
}

func TestRefusalsAreJavas(t *testing.T) {
	c := newCluster(t, Options{})
	w := c.dial(t, helloSimple)
	w.meet("root", "")
	for i, test := range []struct {
		method  string
		request proto.Message
		class   string
		message string
		detail  hadoop.RpcResponseHeader_Detail
	}{
		{"getBlockLocations", &hadoop.GetBlockLocationsRequest{Src: proto.String("/no"), Offset: proto.Uint64(0),
			Length: proto.Uint64(1)}, "java.io.FileNotFoundException", "File does not exist: /no",
			hadoop.RpcResponseHeader_APPLICATION},
		{"getFileInfo", &hadoop.PathRequest{Path: proto.String("/a/../b")}, "org.apache.hadoop.fs.InvalidPathException",
			"Invalid path name /a/../b", hadoop.RpcResponseHeader_APPLICATION},
		{"complete", &hadoop.CompleteRequest{Src: proto.String("/"), ClientName: proto.String("me")},
			"org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException",
			"/ (inode 16385) Holder me does not have any open files.", hadoop.RpcResponseHeader_APPLICATION},
		{"refreshNodes", &hadoop.Empty{}, "org.apache.hadoop.ipc.RpcNoSuchMethodException",
			"Unknown method refreshNodes called on " + clientProtocol + " protocol.", hadoop.RpcResponseHeader_NO_SUCH_METHOD},
		{"setErasureCodingPolicy", &hadoop.SetErasureCodingPolicyRequest{Src: proto.String("/"), Policy: proto.String("XOR")},
			"org.apache.hadoop.HadoopIllegalArgumentException", "Policy 'XOR' does not match any enabled",
			hadoop.RpcResponseHeader_APPLICATION},
		{"unsetErasureCodingPolicy", &hadoop.PathRequest{Path: proto.String("/")},
			"org.apache.hadoop.hdfs.protocol.NoECPolicySetException", "No erasure coding policy explicitly set on /",
			hadoop.RpcResponseHeader_APPLICATION},
		{"unsetErasureCodingPolicy", &hadoop.PathRequest{Path: proto.String("/no")}, "java.io.FileNotFoundException",
			"Path not found: /no", hadoop.RpcResponseHeader_APPLICATION},
		{"enableErasureCodingPolicy", &hadoop.PathRequest{Path: proto.String("XOR")},
			"org.apache.hadoop.HadoopIllegalArgumentException", "The policy name XOR does not exist",
			hadoop.RpcResponseHeader_APPLICATION},
		{"satisfyStoragePolicy", &hadoop.PathRequest{Path: proto.String("/")},
			"org.apache.hadoop.hdfs.server.namenode.UnsupportedActionException", "Cannot request to satisfy",
			hadoop.RpcResponseHeader_APPLICATION},
		{"setQuota", &hadoop.SetQuotaRequest{Path: proto.String("/"), NamespaceQuota: proto.Uint64(1),
			StorageSpaceQuota: proto.Uint64(1), StorageType: hadoop.StorageType_SSD.Enum()},
			"org.apache.hadoop.hdfs.server.namenode.UnsupportedActionException", "Failed to set quota by storage type",
			hadoop.RpcResponseHeader_APPLICATION},
		{"createEncryptionZone", &hadoop.PathRequest{Path: proto.String("/")}, "java.io.IOException",
			"Can't create an encryption zone for / since no key provider is available.", hadoop.RpcResponseHeader_APPLICATION},
		{"getBatchedListing", &hadoop.GetBatchedListingRequest{StartAfter: []byte("2/x"), NeedLocation: proto.Bool(false)},
			"java.lang.IllegalArgumentException", "Not where a listing goes on", hadoop.RpcResponseHeader_APPLICATION},
		{"mkdirs", &hadoop.Empty{}, "java.io.IOException", "", hadoop.RpcResponseHeader_APPLICATION}, // fields lack
	} {
		w.ask(int32(i), test.method, test.request)
		h := w.answer(nil)
		if h.GetExceptionClass() != test.class || h.GetErrorDetail() != test.detail ||
			!strings.HasPrefix(h.GetErrorMessage(), test.message) {
			t.Errorf("%s: %v", test.method, h)
		}
	}
}

// TestAdministratorsAreAnswered calls what `hdfs dfsadmin -report` and the like do.
func TestAdministratorsAreAnswered(t *testing.T) {
	c := newCluster(t, Options{})
	w := c.dial(t, helloSimple)
	w.meet("root", "")
	live := &hadoop.GetDatanodeReportRequest{Type: proto.Uint32(2)}
	for i, test := range []struct {
		method          string
		request, answer proto.Message
		holds           func(proto.Message) bool
	}{
		{"getFsReplicatedBlockStats", &hadoop.Empty{}, &hadoop.BlockStats{}, nil},
		{"getFsECBlockGroupStats", &hadoop.Empty{}, &hadoop.BlockStats{}, nil},
		{"getSlowDatanodeReport", &hadoop.Empty{}, &hadoop.Empty{}, nil},
		{"upgradeStatus", &hadoop.Empty{}, &hadoop.BoolResponse{}, nil},
		{"listCorruptFileBlocks", &hadoop.PathRequest{Path: proto.String("/")}, &hadoop.ListCorruptFileBlocksResponse{}, nil},
		{"getEnclosingRoot", &hadoop.PathRequest{Path: proto.String("/")}, &hadoop.GetEnclosingRootResponse{},
			func(m proto.Message) bool { return m.(*hadoop.GetEnclosingRootResponse).GetPath() == "/" }},
		{"getDatanodeReport", live, &hadoop.GetDatanodeReportResponse{},
			func(m proto.Message) bool { return len(m.(*hadoop.GetDatanodeReportResponse).GetNodes()) == 1 }},
		{"getDatanodeStorageReport", live, &hadoop.GetDatanodeStorageReportResponse{},
			func(m proto.Message) bool { return len(m.(*hadoop.GetDatanodeStorageReportResponse).GetNodes()) == 1 }},
	} {
		w.ask(int32(i), test.method, test.request)
		h := w.answer(test.answer)
		if h.GetStatus() != hadoop.RpcResponseHeader_SUCCESS || test.holds != nil && !test.holds(test.answer) {
			t.Errorf("%s: %v, %v", test.method, h, test.answer)
		}
	}
}

// TestBatchedListings lists several paths, page by page.
func TestBatchedListings(t *testing.T) {
	c := newCluster(t, Options{ListLimit: 2})
	cl := c.client(t, "root")
	for _, path := range []string{"/a/1", "/a/2", "/a/3", "/b/4"} {
		if err := cl.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w := c.dial(t, helloSimple)
	w.meet("root", "")
	var got []string
	request := &hadoop.GetBatchedListingRequest{Paths: []string{"/a", "/none", "/b", "/a/1"}, StartAfter: []byte{},
		NeedLocation: proto.Bool(false)}
	for page := int32(0); ; page++ {
		var r hadoop.GetBatchedListingResponse
		w.ask(page, "getBatchedListing", request)
		if h := w.answer(&r); h.GetStatus() != hadoop.RpcResponseHeader_SUCCESS || page > 9 {
			t.Fatal(page, h)
		}
		n := 0
		for _, l := range r.GetListings() {
			parent := request.Paths[l.GetParentIndex()]
			if class := l.GetException().GetClassName(); class != "" {
				got = append(got, parent+" "+class)
			}
			for _, s := range l.GetPartialListing() {
				n++
				got = append(got, parent+"/"+string(s.GetPath()))
			}
		}
		if n > 2 {
			t.Errorf("a page of %d", n)
		}
		if request.StartAfter = r.GetStartAfter(); !r.GetHasMore() {
			break
		}
	}
	want := []string{"/a/1", "/a/2", "/a/3", "/none java.io.FileNotFoundException", "/b/4"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestHandshakes(t *testing.T) {
	c := newCluster(t, Options{})
	for _, test := range []struct{ name, hello, class string }{
		{"version", "hrpc\x08\x00\x00", "org.apache.hadoop.ipc.RPC$VersionMismatch"},
		{"auth", "hrpc\x09\x00\x50", "org.apache.hadoop.ipc.RpcServerException"},
		{"magic", "hrpd\x09\x00\x00", "org.apache.hadoop.ipc.RpcServerException"},
		{"length", helloSimple + "\xff\xff\xff\xff", "org.apache.hadoop.ipc.RpcServerException"},
		{"frame", helloSimple + "\x00\x00\x00\x02\xff\x01", "org.apache.hadoop.ipc.RpcServerException"},
		{"early", helloSimple + string(frame(t, (&wire{id: []byte{}}).header(1))),
			"org.apache.hadoop.ipc.RpcServerException"},
	} {
		w := c.dial(t, test.hello)
		if h := w.answer(nil); h.GetStatus() != hadoop.RpcResponseHeader_FATAL || h.GetExceptionClass() != test.class {
			t.Errorf("%s: %v", test.name, h)
		}
		if _, err := w.in.ReadByte(); err != io.EOF {
			t.Errorf("%s: the connection goes on: %v", test.name, err)
		}
	}
	w := c.dial(t, "GET / HTTP/1.1\r\n\r\n")
	if all, err := io.ReadAll(w.in); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 404") {
		t.Errorf("a browser gets %q, %v", all, err)
	}
}

func TestSASLIsAnsweredWithSimple(t *testing.T) {
	c := newCluster(t, Options{})
	w := c.dial(t, helloSASL)
	w.write(frame(t, w.header(callSASL), &hadoop.RpcSasl{State: hadoop.RpcSasl_NEGOTIATE.Enum()}))
	var m hadoop.RpcSasl
	if h := w.answer(&m); int32(h.GetCallId()) != callSASL || m.GetState() != hadoop.RpcSasl_SUCCESS {
		t.Fatal(h, &m)
	}
	w.meet("root", "")
	w.ask(1, "getFileInfo", &hadoop.PathRequest{Path: proto.String("/")})
	if h := w.answer(nil); h.GetStatus() != hadoop.RpcResponseHeader_SUCCESS {
		t.Error(h)
	}
	w = c.dial(t, helloSASL)
	w.write(frame(t, w.header(callSASL), &hadoop.RpcSasl{State: hadoop.RpcSasl_INITIATE.Enum()}))
	if h := w.answer(nil); h.GetExceptionClass() != "org.apache.hadoop.security.AccessControlException" {
		t.Error(h)
	}
}

func TestOnlyTheSuperuserActsForOthers(t *testing.T) {
	c := newCluster(t, Options{})
	w := c.dial(t, helloSimple)
	w.meet("bob", "eve")
	if h := w.answer(nil); h.GetErrorMessage() != "User: eve is not allowed to impersonate bob" ||
		h.GetExceptionClass() != "org.apache.hadoop.security.authorize.AuthorizationException" {
		t.Error(h)
	}
	w = c.dial(t, helloSimple)
	w.meet("bob", "root")
	w.ask(1, "mkdirs", &hadoop.MkdirsRequest{Src: proto.String("/d"), CreateParent: proto.Bool(true),
		Masked: &hadoop.FsPermission{Perm: proto.Uint32(0o755)}})
	if h := w.answer(nil); !strings.HasPrefix(h.GetErrorMessage(), "Permission denied: user=bob") {
		t.Error(h)
	}
}

// FuzzFrames sends anything after a handshake: whatever it is, the connection ends and nothing else does.
func FuzzFrames(f *testing.F) {
	w := &wire{id: []byte("0123456789abcdef")}
	context := frame(f, w.header(callContext), &hadoop.IpcConnectionContext{
		UserInfo: &hadoop.UserInformation{EffectiveUser: proto.String("eve")}})
	for method := range methods() {
		h := &hadoop.RequestHeader{MethodName: proto.String(method), DeclaringClass: proto.String(clientProtocol),
			ClientProtocolVersion: proto.Uint64(1)}
		for _, request := range []proto.Message{&hadoop.PathRequest{Path: proto.String("/a")},
			&hadoop.CreateRequest{Src: proto.String("/"), Masked: &hadoop.FsPermission{Perm: proto.Uint32(1 << 31)},
				ClientName: proto.String(""), CreateFlag: proto.Uint32(7), CreateParent: proto.Bool(true),
				Replication: proto.Uint32(1 << 31), BlockSize: proto.Uint64(1 << 63)}} {
			f.Add(append(context[:len(context):len(context)], frame(f, w.header(1), h, request)...))
		}
	}
	c := newCluster(f, Options{})
	f.Fuzz(func(t *testing.T, data []byte) {
		nc, err := net.Dial("tcp", c.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, helloSimple); err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write(data) // it may be hung up on in the midst
		if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
			return // it was
		}
		_, _ = io.Copy(io.Discard, nc)
	})
}
