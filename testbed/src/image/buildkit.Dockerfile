FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /tmp /etc /root /home/user /run/user/1000 && chmod 1777 /tmp && chown 1000:1000 /home/user /run/user/1000 \
    && echo root:x:0:0:root:/root:/bin/sh > /etc/passwd && echo user:x:1000:1000:user:/home/user:/bin/sh >> /etc/passwd \
    && echo user:100000:65536 > /etc/subuid && cp /etc/subuid /etc/subgid
COPY buildkitd buildctl rootlesskit newuidmap newgidmap setcap /bin/
COPY root /
# As root, they would need more rights than a pod without any can have.
RUN chmod u-s /bin/newuidmap /bin/newgidmap && setcap cap_setuid=ep /bin/newuidmap && setcap cap_setgid=ep /bin/newgidmap
COPY runc /bin/buildkit-runc
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt HOME=/home/user XDG_RUNTIME_DIR=/run/user/1000
CMD ["buildkitd"]
