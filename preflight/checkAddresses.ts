import { refusal } from "../config/labConfig";
import type { Check } from "./host";

export const checkAddresses: Check = ({ config }, { refused }) => {
  const missing = Object.entries(refused)
    .filter(([, code]) => code === "EADDRNOTAVAIL")
    .map(([port]) => port.split(":")[0]);
  return (["publishAddress", "adminAddress"] as const)
    .filter((key) => missing.includes(config[key]))
    .map((key) => refusal(config, key, "an IPv4 address of this host, or 0.0.0.0 for all"));
};
