using System.Text.RegularExpressions;
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

    [GeneratedRegex(@"```sh\n(?<code>[^`]*)```")]
    private static partial Regex CodeBlock();
}
