using System.Text.RegularExpressions;
using Paravane.EndToEnd.Run;
using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>A newcomer copies commands from README.md.</summary>
public sealed partial class ReadmeTests
{
    [Fact]
    public void The_commands_that_attach_a_disk_give_the_guest_that_disk()
    {
        using var scratch = TemporaryDirectory.Create();
        string readme = File.ReadAllText(Path.Combine(Programs.RepositoryRoot, "README.md"));
        string[] blocks = [.. CodeBlock().Matches(readme[readme.IndexOf("## Give QEMU a disk", StringComparison.Ordinal)..])
            .Select(match => match.Groups["code"].Value.Replace("/tmp/", scratch.File("") + "/", StringComparison.Ordinal))];

        // The commands run as they stand, except that two tests at once need other files than /tmp/…, and that the background process stays ours to end.
        string start = blocks[0].Replace("bin/paravane-blk", "exec " + Programs.Block, StringComparison.Ordinal).Replace(" &", "", StringComparison.Ordinal);
        using var server = ChildProcess.Start("sh", ["-e", "-c", start], TimeSpan.FromSeconds(300));
        ListeningSocket.WaitFor(scratch.File("disk0.sock"), server, TimeSpan.FromSeconds(10));

        // No hardware virtualization is needed here, and this guest's system is an initramfs rather than a disk.
        string command = blocks[1].Replace("\\\n", " ", StringComparison.Ordinal)
            .Replace("-accel kvm", "-accel tcg -cpu max", StringComparison.Ordinal)
            .Replace("-drive file=your-system.qcow2,if=virtio", "", StringComparison.Ordinal);
        string[] words = command.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("qemu-system-x86_64", words[0]);
        using var guest = QemuGuest.Boot(scratch, words[1..]);

        Assert.Equal((1L << 30).ToString(System.Globalization.CultureInfo.InvariantCulture), guest.Run("blockdev --getsize64 /dev/vda"));
        guest.Run("/tools/mke2fs -q -t ext4 /dev/vda && mount /dev/vda /mnt && echo hello > /mnt/file && umount /mnt");
        guest.PowerOff();
        Assert.Contains("hello", ChildProcess.Run(Tool.Find("debugfs"), ["-R", "cat file", scratch.File("disk0.img")], TimeSpan.FromSeconds(20)).Output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_commands_that_boot_Linux_start_a_machine_and_change_it_while_it_runs()
    {
        using MachineProcess machine = new();
        MachineProcess.RequireKvm();
        machine.File("kernel", BareKernel.Obedient());
        machine.File("initrd", [1]);
        machine.File("system.img", new byte[1 << 20]);
        machine.File("more.img", new byte[1 << 20]);
        string readme = File.ReadAllText(Path.Combine(Programs.RepositoryRoot, "README.md"));
        string[] blocks = [.. CodeBlock().Matches(readme[readme.IndexOf("## Boot Linux", StringComparison.Ordinal)..]).Select(match => match.Groups["code"].Value)];

        // A stock kernel would not boot here: another one takes its place, and the files are those of this test.
        string[] run = Words(blocks[0].Replace("\\\n", " ", StringComparison.Ordinal).Replace("/vmlinuz", machine.File("kernel"), StringComparison.Ordinal)
            .Replace("/initrd.img", machine.File("initrd"), StringComparison.Ordinal).Replace("your-system.img", machine.File("system.img"), StringComparison.Ordinal)
            .Replace("tap:vm0", "loop", StringComparison.Ordinal).Replace("/tmp/vm0.control", machine.ControlPath, StringComparison.Ordinal));
        Assert.Equal(["bin/paravane", "run"], run[..2]);
        machine.LaunchWith(run[2..]);
        machine.Process.WaitFor(BareKernel.Greeting, MachineProcess.Limit);
        Assert.Equal(["disk0", "net0"], machine.DeviceNames());
        foreach (string line in blocks[1].Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] words = Words(line.Replace("more.img", machine.File("more.img"), StringComparison.Ordinal));
            Assert.Equal(["bin/paravane", "ctl", "/tmp/vm0.control"], words[..3]);
            machine.Ask(words[3..]);
        }

        machine.ExpectEnd(0);

        static string[] Words(string line) => line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
    }

    [GeneratedRegex(@"```sh\n(?<code>[^`]*)```")]
    private static partial Regex CodeBlock();
}
