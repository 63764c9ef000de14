FROM scratch
COPY cosign /bin/cosign
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
CMD ["cosign"]
