package namespace

// A block's id says where its bytes are:
//
//	| epoch 32 | 0 | number 31 |            an object of its own
//	| epoch 32 | 1 | number 23 | slot 8 |   in an object of up to 256 slots, which small blocks share: at slot * 4 KiB
//
// The epoch is that of the leadership under which the id was given out, so no id is ever given out twice. An object has
// the id of its first block; one that is shared has slot 0 in its name, whether or not there still is a block.
const (
	packed    = 1 << 31
	slotBits  = 8
	maxNumber = 1<<31 - 1
	maxPacks  = 1 << (31 - slotBits)

	// PackSlots is how many slots an object has that small blocks share, PackSlot how many bytes one is.
	PackSlots = 1 << slotBits
	PackSlot  = 4 << 10
)

// NewBlock returns an id that no block has or will ever have, for a block with an object of its own.
func (s *Service) NewBlock() uint64 { return s.leader.Epoch()<<32 | s.blocks.Add(1) }

// Spent reports whether this leadership has soon given out all ids that it has, so that another one should begin.
func (s *Service) Spent() bool { return s.blocks.Load() > maxNumber-1<<24 }

// NewPack returns the id of the first block of an object that small blocks share; the others' follow, slot by slot. ok
// is false if this leadership has given out all that there are.
func (s *Service) NewPack() (id uint64, ok bool) {
	n := s.packs.Add(1)
	return s.leader.Epoch()<<32 | packed | n<<slotBits, n < maxPacks
}

// EpochOf returns the leadership under which a block's id was given out.
func EpochOf(id uint64) uint64 { return id >> 32 }

// IsPacked reports whether a block shares its object with others.
func IsPacked(id uint64) bool { return id&packed != 0 }

// ObjectOf returns the id that a block's object has, and where in it the block begins.
func ObjectOf(id uint64) (object uint64, offset int64) {
	if !IsPacked(id) {
		return id, 0
	}
	return id &^ (PackSlots - 1), int64(id%PackSlots) * PackSlot
}
