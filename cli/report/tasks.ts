/** What the course asks for, task by task. */

export interface Question {
  name: string;
  text: string;
}

export interface Task {
  number: number;
  title: string;
  /** What is to be done and handed in. */
  asked: string;
  /** To be answered in own words. */
  questions: Question[];
}

export const TASKS: Task[] = [
  {
    number: 0,
    title: "Two nodes behind a balancer, and what is wrong with them",
    asked:
      "Start the balancer with two web nodes, look at HAProxy's stats page, and answer the questions " +
      "M1 to M6. Hand in a screenshot of the stats page with the nodes.",
    questions: [
      {
        name: "M1",
        text: "Is a balancer with a fixed list of nodes fit for production? What are its main problems?",
      },
      {
        name: "M2",
        text: "Which steps exactly does it take to add a node to the infrastructure as the course hands it out?",
      },
      { name: "M3", text: "What would be a better approach, at a high level?" },
      {
        name: "M4",
        text: "The list of nodes is hard-coded. How can the nodes be managed dynamically?",
      },
      {
        name: "M5",
        text:
          "Can other processes run beside the main one in a container, such as a log forwarder to a " +
          "central place? What is missing for that, and how would you do it?",
      },
      {
        name: "M6",
        text:
          "The balancer's configuration does not follow the system: `sed` replaces two lines of it at the " +
          "start. What happens when there are more nodes, and what would be better?",
      },
    ],
  },
  {
    number: 1,
    title: "A process supervisor",
    asked:
      "Put s6 into both images, so that a container runs several processes and one can be restarted " +
      "without the container. Hand in a screenshot of the stats page with the nodes.",
    questions: [
      {
        name: "Task 1",
        text: "Why does a container need a process supervisor? Explain it in your own words.",
      },
    ],
  },
  {
    number: 2,
    title: "Membership by gossip",
    asked:
      "Let a Serf agent run in every container, and start the containers in different orders. Hand in " +
      "`docker logs` of `ha`, `s1` and `s2`.",
    questions: [
      {
        name: "Task 2a",
        text: "What is the problem with how the cluster is created in the course's version, and what solves it?",
      },
      { name: "Task 2b", text: "How do Serf and its gossip work?" },
      {
        name: "Task 2c",
        text: "Which other tools are there for discovery, and how do they differ?",
      },
    ],
  },
  {
    number: 3,
    title: "Reacting to membership",
    asked:
      "Let a handler react to `member-join`, `member-leave` and `member-failed`, and tell the roles " +
      "apart. Hand in `docker logs` of `ha` after `s1` and after `s2` has started, of all three with all " +
      "running, and `/var/log/serf.log` of `ha`.",
    questions: [],
  },
  {
    number: 4,
    title: "A template for haproxy.cfg, and images",
    asked:
      "Generate `haproxy.cfg` from a template. Hand in the file with `ha` alone, with `s1`, and with " +
      "`s1` and `s2`. Look at how images are layered.",
    questions: [
      {
        name: "Task 4a",
        text: "What speaks for and against merging `RUN` lines (`RUN a && b` against two lines)?",
      },
      {
        name: "Task 4b",
        text: "What are squashing and flattening of images, and what do they gain and cost?",
      },
      {
        name: "Task 4c",
        text: "Which other architecture of the images has less repetition?",
      },
      {
        name: "Task 4d",
        text: "What is wrong with how the course's version generates the configuration at each join?",
      },
    ],
  },
  {
    number: 5,
    title: "One file for each node",
    asked:
      "Keep a file for each node in `/nodes` and generate `haproxy.cfg` from them at each join and leave. " +
      "Hand in `haproxy.cfg` and the listing of `/nodes` with `ha` alone, with `s1`, and with `s1` and `s2`; " +
      "`docker ps`; `docker inspect` of all three; then, with one container stopped, `haproxy.cfg`, " +
      "`/nodes` and `docker ps`.",
    questions: [],
  },
  {
    number: 6,
    title: "Changes that apply themselves",
    asked:
      "Let HAProxy take over each change by itself. With more than two nodes, stop `s3` and `s4`, start " +
      "`s5`, and watch the stats page. Hand in a screenshot of it and `docker ps` at each step.",
    questions: [
      { name: "Task 6a", text: "How do you feel about the final solution?" },
      {
        name: "Task 6b",
        text: "What would you improve, and how? Name your references.",
      },
    ],
  },
];
