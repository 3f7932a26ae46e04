package format

// RecordLength is the parameter that says how many bytes a record of the format FixedLength has, named as in Hadoop.
const RecordLength = "fixedlengthinputformat.record.length"

// maxFixed is the longest record of FixedLength in bytes: a reader's buffer holds one.
const maxFixed = 16 << 20
