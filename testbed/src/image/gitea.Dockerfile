COPY gitea /usr/local/bin/gitea
COPY files /usr/share/gitea
RUN echo git:x:1000:1000::/var/lib/gitea:/bin/sh >> /etc/passwd && mkdir -p /var/lib/gitea && chown 1000:1000 /var/lib/gitea
USER 1000
ENV HOME=/var/lib/gitea
EXPOSE 3000
CMD ["gitea", "web", "--config", "/var/lib/gitea/app.ini"]
