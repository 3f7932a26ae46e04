// Package hadoop has the messages of Hadoop's RPC protocols, made by scripts/proto from the .proto files beside this
// one.
//
//	ipc.proto           frames, who is connected, authentication
//	namenode.proto      org.apache.hadoop.hdfs.protocol.ClientProtocol
//	datatransfer.proto  reading and writing blocks
//	hdfs.proto          what the last two share
//
// On the wire only the numbers count. The names are our own, in a package of our own, so that a program may also hold a
// client that has Hadoop's.
package hadoop
