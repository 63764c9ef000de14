module slipway.dev/testbed/osv-scanner

go 1.26.3

require github.com/google/osv-scanner/v2 v2.6.0
