package functions

// LineEmitter is the ability of an Emitter that writes text to take many records at once, as it would write them: a run
// of whole lines, key TAB value each, with their ends.
type LineEmitter interface {
	Emitter
	EmitLines(lines []byte) error
}

// FileMapper is the ability of a Mapper to be told where its next records come from.
type FileMapper interface {
	Mapper
	// File is called before the first record of each piece of a file. It may put out records.
	File(at FilePiece, out Emitter) error
}

// FilePiece is a part of an input file.
type FilePiece struct {
	URI            string
	Offset, Length int64 // in bytes
}
