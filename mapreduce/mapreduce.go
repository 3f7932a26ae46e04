// Package mapreduce is the MapReduce engine: it turns a job into a plan of map and reduce tasks, and the payload of a
// task into a result.
//
// It has two halves, and the scheduler knows nothing else of it. NewEngine makes the half that runs in the application
// master (Plan, Cut, Payload, Commit), NewBody the half that runs in executors (Run). Check finds what is wrong with a
// job before anything is created.
//
//	input ──split──▶ map-0 ─┐ segments, cut fine            ┌▶ reduce-0 ──▶ part-r-00000
//	                 map-1 ─┼────────── shuffle ──────────▶─┼▶ reduce-1 ──▶ part-r-00001 ─commit─▶ output/_SUCCESS
//	                 map-2 ─┘ (one file per attempt)        └▶ reduce-2 ──▶ part-r-00002
//
// The folders, in the order in which a record meets them:
//
//	split      which part of which file a map reads
//	text       lines as views into large buffers
//	codec      what is compressed
//	format     files that are not lines, and other output than key TAB value
//	rows       the columns of Parquet as rows of JSON, and back
//	collect    what a mapper emits: folded or sorted, spilled when memory is short
//	segment    the form of map output on disk and on the wire
//	shuffle    who serves segments, and who fetches them
//	group      merges the segments of a reducer into groups of equal keys
//	commit     part files, invisible until all of them are there
//	proof      that nothing was lost or read twice, written into _SUCCESS and checked again by anybody
//
// Reducers are cut after the maps (Engine.Cut): a map divides its output into many fine partitions, and each reducer
// gets a run of neighbouring partitions, so that reducers are as many and as even as the measured sizes ask for.
package mapreduce
