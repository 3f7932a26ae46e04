package train

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/seed3322913c/runner/guagua/data"
)

// MulVec sets y (m) to a (m x n, row by row) times x (n).
func MulVec[T data.Float](y, a, x []T) {
	m, n := len(y), len(x)
	switch a := any(a).(type) {
	case []float64:
		gonum.Implementation{}.Dgemv(blas.NoTrans, m, n, 1, a, n, any(x).([]float64), 1, 0, any(y).([]float64), 1)
	case []float32:
		gonum.Implementation{}.Sgemv(blas.NoTrans, m, n, 1, a, n, any(x).([]float32), 1, 0, any(y).([]float32), 1)
	}
}

// AddTMulVec adds to y (n) the transpose of a (m x n, row by row) times x (m).
func AddTMulVec[T data.Float](y, a, x []T) {
	m, n := len(x), len(y)
	switch a := any(a).(type) {
	case []float64:
		gonum.Implementation{}.Dgemv(blas.Trans, m, n, 1, a, n, any(x).([]float64), 1, 1, any(y).([]float64), 1)
	case []float32:
		gonum.Implementation{}.Sgemv(blas.Trans, m, n, 1, a, n, any(x).([]float32), 1, 1, any(y).([]float32), 1)
	}
}

// MulT adds to c (m x n) a (m x k) times the transpose of b (n x k), all row by row.
func MulT[T data.Float](c, a, b []T, m, n, k int) {
	gemm(blas.NoTrans, blas.Trans, m, n, k, a, k, b, k, c, n)
}

// TMul adds to c (m x n) the transpose of a (k x m) times b (k x n).
func TMul[T data.Float](c, a, b []T, m, n, k int) {
	gemm(blas.Trans, blas.NoTrans, m, n, k, a, m, b, n, c, n)
}

// Mul adds to c (m x n) a (m x k) times b (k x n).
func Mul[T data.Float](c, a, b []T, m, n, k int) {
	gemm(blas.NoTrans, blas.NoTrans, m, n, k, a, k, b, n, c, n)
}

func gemm[T data.Float](ta, tb blas.Transpose, m, n, k int, a []T, lda int, b []T, ldb int, c []T, ldc int) {
	switch a := any(a).(type) {
	case []float64:
		gonum.Implementation{}.Dgemm(ta, tb, m, n, k, 1, a, lda, any(b).([]float64), ldb, 1, any(c).([]float64), ldc)
	case []float32:
		gonum.Implementation{}.Sgemm(ta, tb, m, n, k, 1, a, lda, any(b).([]float32), ldb, 1, any(c).([]float32), ldc)
	}
}
