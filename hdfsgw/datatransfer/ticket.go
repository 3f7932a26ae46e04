package datatransfer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/rpc/hadoop"
)

// Ticket says what its bearer may do with one block. Clients carry it without understanding it.
type Ticket struct {
	Block   uint64
	Expires int64 // ms since 1970

	// For reading:
	Length int64  `json:",omitempty"` // so many bytes of the block may be read
	MD5    []byte `json:",omitempty"` // as in namespace.Block
	CRC    uint32 `json:",omitempty"` // as in namespace.Block

	// For writing, where Path is not "":
	Path   string           `json:",omitempty"`
	File   uint64           `json:",omitempty"` // id of the inode
	Holder string           `json:",omitempty"` // of the lease
	Caller namespace.Caller `json:",omitzero"`
	Start  int64            `json:",omitempty"` // where the block begins in the file
	Limit  int64            `json:",omitempty"` // so many bytes may be written
}

// block is what may be read.
func (t *Ticket) block() namespace.Block {
	b := namespace.Block{ID: t.Block, Length: t.Length, CRC: t.CRC}
	copy(b.MD5[:], t.MD5)
	return b
}

// ticketLife is how long a ticket is good for: as long as Hadoop's block tokens.
const ticketLife = 10 * time.Hour

func newKey() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails
	return key
}

// Issue makes a token of a ticket, which is good until this process ends, at most ten hours. A client whose ticket is
// refused asks the name node's side for another one.
func (s *Server) Issue(t Ticket) *hadoop.Token {
	t.Expires = time.Now().Add(ticketLife).UnixMilli()
	id, err := json.Marshal(t)
	if err != nil {
		panic(err) // the type has nothing that can't be encoded
	}
	return &hadoop.Token{Identifier: id, Password: s.sign(id), Kind: proto.String(""), Service: proto.String("")}
}

func (s *Server) sign(id []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(id)
	return mac.Sum(nil)
}

// check returns the ticket that a client brings for a block, if it is ours.
func (s *Server) check(h *hadoop.BaseHeader) (t Ticket, ok bool) {
	token := h.GetToken()
	if !hmac.Equal(token.GetPassword(), s.sign(token.GetIdentifier())) {
		return t, false
	}
	err := json.Unmarshal(token.GetIdentifier(), &t)
	return t, err == nil && t.Block == h.GetBlock().GetBlockId() && t.Expires > time.Now().UnixMilli()
}
