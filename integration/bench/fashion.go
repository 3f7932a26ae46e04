package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// fashion returns a folder with the training images of Fashion-MNIST as Debian ships them (train-*-ubyte.gz), and
// beside them as train.csv: the label, then 784 pixels from 0 to 255. It needs apt and dpkg, and no root.
func fashion(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "fashion-mnist")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "sh", "-c",
		`apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb deb`)
	cmd.Dir, cmd.Stderr = tmp, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("fetch dataset-fashion-mnist: %w", err)
	}
	from := filepath.Join(tmp, "deb", "usr", "share", "datasets", "fashion-mnist")
	if err := imagesToCSV(from, filepath.Join(from, "train.csv")); err != nil {
		return "", err
	}
	return dir, os.Rename(from, dir)
}

// The files begin with a magic number and, for each dimension, its size: 4 bytes each.
const (
	imageHeader = 16
	labelHeader = 8
	imageSize   = 28 * 28
)

func imagesToCSV(dir, out string) (err error) {
	pixels, err := unzip(filepath.Join(dir, "train-images-idx3-ubyte.gz"))
	if err != nil {
		return err
	}
	labels, err := unzip(filepath.Join(dir, "train-labels-idx1-ubyte.gz"))
	if err != nil {
		return err
	}
	if len(labels) <= labelHeader || len(pixels)-imageHeader != (len(labels)-labelHeader)*imageSize {
		return fmt.Errorf("%d bytes of images do not go with %d bytes of labels", len(pixels), len(labels))
	}
	pixels, labels = pixels[imageHeader:], labels[labelHeader:]
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for i, label := range labels {
		line = strconv.AppendUint(line[:0], uint64(label), 10)
		for _, p := range pixels[i*imageSize : (i+1)*imageSize] {
			line = strconv.AppendUint(append(line, ','), uint64(p), 10)
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return w.Flush()
}

func unzip(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return io.ReadAll(z)
}

// numpy returns a Python that has numpy: a virtual environment in the cache folder, made once.
func numpy(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "python")
	python := filepath.Join(dir, "bin", "python")
	if exec.CommandContext(ctx, python, "-c", "import numpy, sklearn, pyspark").Run() == nil {
		return python, nil
	}
	for _, argv := range [][]string{
		{"python3", "-m", "venv", dir}, {python, "-m", "pip", "install", "--quiet", "numpy", "scikit-learn", "pyspark"},
	} {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%v: %w", argv, err)
		}
	}
	return python, nil
}
