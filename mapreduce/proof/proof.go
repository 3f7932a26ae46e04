// Package proof is the evidence that a job lost nothing and read nothing twice: the manifest in _SUCCESS.
//
// The equations that must hold are in Totals.Check; the engine checks them before it publishes anything, and fails the
// job loudly if they do not. Verify re-reads an output at any later time and compares it with its manifest.
//
//	{
//	  "format": 1,
//	  "job": "7k2f-wordcount", "name": "wordcount",
//	  "spec": "sha256:9f2c...",                  the job as it was submitted
//	  "parts": [
//	    {"name": "part-r-00000", "bytes": 1048576, "records": 41284, "crc32c": "8c1f00a2"}
//	  ],
//	  "totals": {"splits": 12, "inputBytes": 5100000, "inputRecords": 101337, ...}
//	}
package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// Success is the name of the manifest in an output; it is the last thing that appears there.
const Success = "_SUCCESS"

// Bad is the folder in an output where records are that functions failed at and that were left out.
const Bad = "_bad"

// MaxManifest bounds a manifest, in bytes: some 600,000 parts.
const MaxManifest = 64 << 20

const format = 1

// Manifest describes a published output.
type Manifest struct {
	Format   int             `json:"format"`
	Kind     string          `json:"kind,omitempty"` // of the job; empty: mapreduce
	Job      scheduler.JobID `json:"job"`
	Name     string          `json:"name"`
	Spec     string          `json:"spec"`     // digest of the job as it was submitted
	Finished time.Time       `json:"finished"` // when the output was published
	Parts    []Part          `json:"parts"`
	Totals   Totals          `json:"totals"`
}

// Part is one file of an output.
type Part struct {
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Records int64  `json:"records"`
	CRC32C  Sum    `json:"crc32c"`
}

// Sum is a CRC32C, written as eight hexadecimal digits.
type Sum uint32

// castagnoli's table makes hash/crc32 use the CPU's instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Update returns the sum of what s is the sum of, followed by b.
func (s Sum) Update(b []byte) Sum { return Sum(crc32.Update(uint32(s), castagnoli, b)) }

func (s Sum) String() string { return fmt.Sprintf("%08x", uint32(s)) }

// MarshalText writes String.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads String.
func (s *Sum) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 16, 32)
	if err != nil || len(b) != 8 {
		return errs.Errorf("proof.Sum", errs.Corrupt, nil, "%q is not a checksum", b)
	}
	*s = Sum(n)
	return nil
}

// Digest names a job as it was submitted: equal digests, equal jobs.
func Digest(job scheduler.Job) (string, error) {
	b, err := json.Marshal(job)
	if err != nil {
		return "", errs.E("proof.Digest", errs.Internal, job.ID, err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(b)), nil
}

// Encode returns the content of _SUCCESS.
func (m Manifest) Encode() ([]byte, error) {
	m.Format = format
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, errs.E("proof.Encode", errs.Internal, m.Job, err)
	}
	return append(b, '\n'), nil
}

// Decode is the inverse of Encode. An empty file, as Hadoop's committers leave it, and anything else that is not a
// manifest of ours, fails with errs.Unsupported; a manifest that is damaged with errs.Corrupt.
func Decode(b []byte) (Manifest, error) {
	const op = "proof.Decode"
	var m Manifest
	if len(bytes.TrimSpace(b)) == 0 {
		return m, errs.Errorf(op, errs.Unsupported, nil,
			"%s is empty: another program wrote it, and there is nothing to verify against", Success)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, errs.Errorf(op, errs.Corrupt, nil, "%s is not JSON: %v", Success, err)
	}
	if m.Format != format {
		return m, errs.Errorf(op, errs.Unsupported, nil, "%s is not a manifest of format %d", Success, format)
	}
	for _, p := range m.Parts {
		if p.Bytes < 0 || p.Records < 0 || p.Name == "" {
			return m, errs.Errorf(op, errs.Corrupt, nil, "%s: part %q has %d bytes and %d records",
				Success, p.Name, p.Bytes, p.Records)
		}
	}
	return m, nil
}
