using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Demo;

/// <summary>The demo: a disk and a network device, each in a process of its own, driven with data that is checked to the last byte.</summary>
internal sealed class DemoRun(int seconds, DriverChoice choice, CancellationToken stop)
{
    private const long ImageBytes = 64 << 20;

    /// <summary>Runs the demo and prints its summary.</summary>
    /// <exception cref="IOException">Something failed; the message says what.</exception>
    public void Execute()
    {
        using DemoImage image = DemoImage.Create(ImageBytes);
        using IDemoDriver driver = Open(image);
        image.Unname();
        Console.Out.WriteLine(driver.Introduction);
        Console.Out.WriteLine($"{seconds} s; every block and every frame is checked.");
        Console.Out.WriteLine();
        driver.Run(seconds, stop);
        driver.Finish();
        if (driver.FindMismatch(image.Handle) is { } difference)
        {
            throw new FrontendException(difference);
        }

        Console.Out.WriteLine();
        Console.Out.WriteLine(stop.IsCancellationRequested ? "Stopped early, all in order:" : "All in order:");
        foreach (string line in driver.Summary(ImageBytes))
        {
            Console.Out.WriteLine(line);
        }
    }

    private IDemoDriver Open(DemoImage image)
    {
        if (choice == DriverChoice.Host)
        {
            return new HostDriver(image, "No guest was wanted (--driver=host)");
        }

        try
        {
            return new GuestDriver(image);
        }
        catch (KvmException problem) when (choice == DriverChoice.Auto)
        {
            return new HostDriver(image, $"No guest can run here ({problem.Message})");
        }
    }
}
