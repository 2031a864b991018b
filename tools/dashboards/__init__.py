"""The dashboards for Grafana, made with its own foundation SDK: what stands here is what there is to see."""
