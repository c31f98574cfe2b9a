using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Paravane.Peers;
using Tmds.Linux;

namespace Paravane.Benchmarks;

/// <summary>Machines of <c>paravane run</c> on this host's own KVM, and what becomes of their workers.</summary>
internal static class MachineTables
{
    private const long ImageBytes = 4 << 20;

    /// <summary>From the start of the process to the first KVM_RUN.</summary>
    public static TablePlan Start() => new(
        new Table("run-start", "From the start of `paravane run` to the guest's first instruction", "ms", MoreIsBetter: false,
            "A guest that only halts, with a disk and a NIC, each with a worker of its own. From before the process is started to the moment at which its vCPU enters the "
            + "guest for the first time (`first_run_at` of `paravane ctl metrics`, of the same clock)."),
        [new Row("one disk, one NIC", StartOnce, [], new Must(30, AtLeast: false))],
        File.Exists("/dev/kvm") ? null : "this host has no /dev/kvm");

    /// <summary>From the death of a worker to its successor's first completion.</summary>
    public static TablePlan Restart() => new(
        new Table("worker-restart", "A worker that is killed: time to the first request that completes afterwards", "ms", MoreIsBetter: false,
            "32 reads of 4 KiB are under way on a disk behind the machine's device class when its worker gets SIGKILL. What was in flight is replayed by the next one."),
        [
            new Row("from the new worker's first answer", () => RestartOnce(times => times.FromConnection), [], new Must(100, AtLeast: false)),
            new Row("from the kill", () => RestartOnce(times => times.FromKill), [], null),
        ]);

    private static Sample StartOnce()
    {
        using var directory = TemporaryDirectory.Create();
        string kernel = directory.File("idle.elf"), control = directory.File("control");
        File.WriteAllBytes(kernel, IdleKernel.Make());
        string[] devices = ["--disk=null=1G", "--net=loop"];
        string[] arguments = ["run", $"--kernel={kernel}", "--memory=256M", .. devices, $"--control={control}", $"--console={directory.File("console")}"];
        long start = Stopwatch.GetTimestamp();
        using Process process = Process.Start(new ProcessStartInfo(Programs.Paravane, arguments) { RedirectStandardError = true })!;
        try
        {
            JsonElement times = WaitForTimes(control, start, process);
            double milliseconds = (times.GetProperty("first_run_at").GetInt64() / 1e3) - (start * (1e3 / Stopwatch.Frequency));
            IEnumerable<string> phases = times.EnumerateObject().Where(phase => phase.Name is not ("total" or "first_run_at"))
                .Select(phase => string.Create(CultureInfo.InvariantCulture, $"{phase.Name} {phase.Value.GetInt64() / 1e3:0.0} ms"));
            return new Sample(milliseconds, $"bin/paravane run --kernel=idle.elf --memory=256M {string.Join(' ', devices)} --control=control --console=console",
                $"bin/paravane ctl control metrics     # phases, of which the first began when options were read: {string.Join(", ", phases)}");
        }
        finally
        {
            if (!process.HasExited)
                _ = LibC.kill(process.Id, LibC.SIGKILL);
            process.WaitForExit();
        }
    }

    private static JsonElement WaitForTimes(string control, long start, Process process)
    {
        string transcript = string.Empty;
        while (Stopwatch.GetElapsedTime(start).TotalSeconds < 10)
        {
            Thread.Sleep(200); // longer than a start takes: nothing else runs meanwhile
            if (process.HasExited)
                throw new PeerException($"paravane run has ended: {process.StandardError.ReadToEnd()}");
            (int exitCode, string output, transcript) = ChildProcess.Run(Programs.Paravane, ["ctl", control, "metrics"], TimeSpan.FromSeconds(10));
            if (exitCode == 0)
            {
                JsonElement times = JsonDocument.Parse(output).RootElement.GetProperty("start_us");
                if (times.GetProperty("first_run_at").GetInt64() != 0)
                    return times;
            }
        }

        throw new PeerException($"the guest has not begun: {transcript}");
    }

    private static Sample RestartOnce(Func<(double FromConnection, double FromKill), double> figure)
    {
        using var directory = TemporaryDirectory.CreateOnTmpfs();
        string image = directory.File("disk.img");
        using (FileStream file = File.Create(image))
            file.SetLength(ImageBytes);
        using RestartRig rig = new(image);
        return new Sample(figure(rig.Kill()), "kill -9 $(pidof paravane-blk)");
    }
}
