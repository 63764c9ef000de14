// What the service bears: five that ask all the time, 1500 times in all.
import http from "k6/http";
import { check } from "k6";

export const options = { vus: 5, iterations: 1500 };

export default function () {
  const reply = http.get("http://app:8080/flags/dark?user=user-" + __ITER);
  check(reply, { answered: (reply) => reply.status === 200 });
}
