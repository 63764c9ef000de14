FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "mkdir", "-m", "1777", "/tmp"]
COPY syft /bin/syft
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
CMD ["syft"]
