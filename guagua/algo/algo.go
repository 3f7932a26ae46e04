// Package algo knows the built-in programs by name.
//
//	optimize   where to look for a minimum next
//	model      the file model.json
//	train      what all that follow a gradient have in common
//	linear     logistic-regression, linear-regression
//	network    neural-network
//	kmeans     kmeans
//	sum        sum, the smallest program
//	predict    predict, which applies a model
package algo

import (
	"github.com/seed3322913c/runner/guagua"
	"github.com/seed3322913c/runner/guagua/algo/kmeans"
	"github.com/seed3322913c/runner/guagua/algo/linear"
	"github.com/seed3322913c/runner/guagua/algo/model"
	"github.com/seed3322913c/runner/guagua/algo/network"
	"github.com/seed3322913c/runner/guagua/algo/predict"
	"github.com/seed3322913c/runner/guagua/algo/sum"
)

// Builtins returns the built-in programs, in the order of Descriptions.
func Builtins() []guagua.Program {
	return []guagua.Program{
		linear.Logistic(), linear.Regression(), kmeans.Program(), network.Program(), predict.Program(), sum.Program(),
	}
}

// Description is what people read of a program.
type Description struct{ Name, Does string }

// Descriptions returns a line for each built-in program, in the order in which people should read of them.
func Descriptions() []Description {
	return []Description{
		{model.Logistic, "classifies rows: two classes, or several with --set classes=N"},
		{model.Linear, "predicts a number from others"},
		{model.KMeans, "finds --set k=N clusters"},
		{model.Network, "classifies or predicts with hidden layers, as in --set layers=784-32-10"},
		{"predict", "applies --set model=FILE to rows"},
		{"sum", "adds numbers up, again and again: the smallest program"},
	}
}
