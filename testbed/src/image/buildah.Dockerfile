FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /tmp /var/tmp /etc/containers /root && chmod 1777 /tmp /var/tmp && echo root:x:0:0:root:/root:/bin/sh > /etc/passwd \
    && echo root:100000:65536 > /etc/subuid && cp /etc/subuid /etc/subgid \
    && echo '{"default": [{"type": "insecureAcceptAnything"}]}' > /etc/containers/policy.json
COPY buildah newuidmap newgidmap /bin/
RUN chmod 4755 /bin/newuidmap /bin/newgidmap
COPY root /
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt HOME=/root
CMD ["buildah", "--help"]
