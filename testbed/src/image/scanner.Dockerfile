FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p -m 1777 /tmp
COPY syft osv-scanner /bin/
COPY osv /usr/share/osv-scalibr/
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# The database is below the folder `osv-scalibr` there.
ENV PATH=/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY=/usr/share
CMD ["osv-scanner"]
