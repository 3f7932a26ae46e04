package namespace

import (
	"strconv"
	"strings"
)

// BlockIDs writes ids as OpCompact wants them in Value.
func BlockIDs(blocks []Block) string {
	var b strings.Builder
	for i, block := range blocks {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(block.ID, 16))
	}
	return b.String()
}

// compact replaces blocks of a file that follow each other by others with the same bytes. If the file does not have
// these blocks any more, nothing changes.
func (t *Tree) compact(r *Request) (Result, error) {
	if !r.Caller.Super {
		return Result{}, notSuper(r, "compact")
	}
	p, err := t.changing(&r.Caller, r.Path, noFile)
	if err != nil {
		return Result{}, err
	}
	n := t.inodes.get(p.slot)
	if n.is(isDir | isOpen) {
		return Result{}, Refuse(IOException, "%s is being written, or is a directory", r.Path)
	}
	before, first, last := t.run(n.first, strings.Split(r.Value, ","))
	var old int64
	for i := first; i != none; i = t.blocks.get(i).next {
		old += t.blocks.get(i).length
		if i == last {
			break
		}
	}
	if first == none || old != lengthOf(r.Blocks) {
		return Result{}, Refuse(IOException, "%s has other blocks by now", r.Path)
	}
	after := t.blocks.get(last).next
	t.blocks.edit(last).next = none
	at := before
	for _, b := range r.Blocks {
		added := t.blocks.add(block{id: b.ID, length: b.Length, md5: b.MD5, crc: b.CRC})
		t.follow(p.slot, at, added)
		at = added
	}
	t.follow(p.slot, at, after)
	if after == none {
		t.inodes.edit(p.slot).last = at
	}
	t.dropBlocks(first, r.Time)
	return Result{OK: true}, nil
}

// follow makes a block the one after another of a file, the first if that is none.
func (t *Tree) follow(file, at, next uint32) {
	if at == none {
		t.inodes.edit(file).first = next
	} else {
		t.blocks.edit(at).next = next
	}
}

// run finds blocks with these ids, one after the other, and the block before them.
func (t *Tree) run(first uint32, ids []string) (before, from, to uint32) {
	for i, prev := first, none; i != none; prev, i = i, t.blocks.get(i).next {
		if strconv.FormatUint(t.blocks.get(i).id, 16) != ids[0] {
			continue
		}
		j := i
		for k, id := range ids {
			if j == none || strconv.FormatUint(t.blocks.get(j).id, 16) != id {
				return none, none, none
			}
			if k < len(ids)-1 {
				j = t.blocks.get(j).next
			}
		}
		return prev, i, j
	}
	return none, none, none
}
