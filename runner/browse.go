package main

import (
	"os"
	"strings"

	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/nodeinit"
)

// browsable are the files that the page shows: those of the gateways that this process knows, and what is in a fleet's
// bucket beside what the system keeps there. fleetStore is the URI of that; "" without a fleet.
func browsable(fleetStore string) api.Files {
	files := api.Files{Open: openSystem}
	for entry := range strings.FieldsSeq(os.Getenv(gatewaysEnv)) {
		if name, _, ok := strings.Cut(entry, "="); ok {
			files.Roots = append(files.Roots, "hdfs://"+name+"/")
		}
	}
	if place, folder := cut(fleetStore); strings.HasPrefix(place, "s3://") && folder != "" {
		files.Roots = append(files.Roots, place+"/")
		files.Hidden = append(files.Hidden, place+"/"+string(folder), nodeinit.FilesURI(strings.TrimPrefix(place, "s3://")))
	}
	return files
}
