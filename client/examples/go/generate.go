// Package examples holds two programs that use the API of Odradek: produce and consume.
package examples

//go:generate protoc -I ../../../proto --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative odradek/v1/record.proto odradek/v1/record_service.proto
