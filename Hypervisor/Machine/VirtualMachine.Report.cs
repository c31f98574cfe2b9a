using System.Diagnostics;
using System.Text.Json;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.Hypervisor.Virtio;

namespace Paravane.Hypervisor.Machine;

/// <content>What the machine tells about itself, as JSON. The machine's thread.</content>
internal sealed partial class VirtualMachine
{
    /// <summary>State, size and devices.</summary>
    public void WriteStatus(Utf8JsonWriter json)
    {
        json.WriteString("state", _isPaused ? "paused" : "running");
        json.WriteNumber("cpus", _vcpus.Count);
        json.WriteNumber("memory_bytes", _memory.SizeBytes);
        json.WriteNumber("restarts", _restarts);
        json.WriteStartArray("devices");
        foreach (MachineDevice device in _devices)
        {
            json.WriteStartObject();
            WriteDevice(json, device);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>Counters: exits by reason and by device, what happened to each virtio device, how long the start took.</summary>
    public void WriteMetrics(Utf8JsonWriter json)
    {
        json.WriteNumber("restarts", _restarts);
        json.WriteNumber("triple_faults", _tripleFaults);
        json.WriteNumber("exits", Sum(counters => counters.Exits));
        json.WriteNumber("interruptions", Sum(counters => counters.Interruptions));
        json.WriteStartObject("exits_by_reason");
        foreach (KvmExitReason reason in Enum.GetValues<KvmExitReason>())
        {
            long count = Sum(counters => counters[reason]);
            if (count != 0)
            {
                json.WriteNumber(JsonNamingPolicy.SnakeCaseLower.ConvertName(reason.ToString()), count);
            }
        }

        json.WriteEndObject();
        json.WriteStartArray("accesses");
        foreach ((string space, AddressBus bus) in new[] { ("port", _ports), ("memory", _windows) })
        {
            foreach (BusRange range in bus.Ranges)
            {
                json.WriteStartObject();
                json.WriteString("device", range.Name);
                json.WriteString("space", space);
                json.WriteString("address", $"0x{range.Address:x}");
                json.WriteNumber("reads", range.Reads);
                json.WriteNumber("writes", range.Writes);
                json.WriteEndObject();
            }
        }

        json.WriteEndArray();
        json.WriteNumber("unclaimed_reads", _ports.UnclaimedReads + _windows.UnclaimedReads);
        json.WriteNumber("unclaimed_writes", _ports.UnclaimedWrites + _windows.UnclaimedWrites);
        json.WriteNumber("console_dropped_bytes", _console.DroppedBytes);
        json.WriteStartArray("devices");
        foreach (MachineDevice device in _devices)
        {
            VhostUserCounters counters = device.Function.Counters;
            json.WriteStartObject();
            json.WriteString("name", device.Function.Name);
            json.WriteNumber("starts", counters.Starts);
            json.WriteNumber("back_end_restarts", counters.Restarts);
            json.WriteNumber("back_end_losses", counters.Losses);
            json.WriteNumber("config_changes", counters.ConfigChanges);
            json.WriteNumber("back_end_refusals", counters.Refusals);
            json.WriteNumber("host_refusals", device.Refusals);
            json.WriteNumber("needs_resets", counters.NeedsResets);
            json.WriteString("last_error", counters.LastError);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartObject("start_us");
        foreach ((string phase, long microseconds) in Times.Phases)
        {
            json.WriteNumber(phase, microseconds);
        }

        json.WriteNumber("total", Times.TotalMicroseconds);
        json.WriteNumber("first_run_at", (long)(_vcpus[0].Counters.FirstRunAt * (1_000_000.0 / Stopwatch.Frequency))); // of CLOCK_MONOTONIC
        json.WriteEndObject();
    }

    private static void WriteDevice(Utf8JsonWriter json, MachineDevice device)
    {
        json.WriteString("name", device.Function.Name);
        json.WriteNumber("virtio_device_id", device.Function.DeviceId);
        json.WriteString("address", device.Pci is null ? $"0x{WindowOf(device.Place):x}" : $"0000:00:{device.Place:x2}.0");
        json.WriteNumber("queues", device.Function.QueueCount);
        json.WriteBoolean("leaving", device.IsLeaving);
        if (device.Function.WorkerProcessId is int process)
        {
            json.WriteNumber("worker_process", process);
        }
    }

    private long Sum(Func<VcpuCounters, long> counter)
    {
        long sum = 0;
        for (int i = 0; i < _vcpus.Count; i++)
        {
            sum += counter(_vcpus[i].Counters);
        }

        return sum;
    }
}
